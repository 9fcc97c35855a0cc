"""Foreground by colour: GrabCut initialised by salience."""

import cv2
import numpy as np

from skufp.actions.action import glance
from skufp.actions.salience import mask_of, salience

ROUNDS = 1  # with a good initialisation later rounds change little
SOFT = 1.0  # pixels of the small copy: smooths the mask's edges


class GrabCut:
    """GrabCut (Rother, Kolmogorov & Blake, SIGGRAPH 2004) on a copy of at most GLANCE px."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return [h, w] float32, 1 on the foreground; all 0 if nothing is salient."""
        small = glance(image)
        likely = mask_of(salience(image))
        share = float(likely.mean())
        if min(small.shape[:2]) < 8 or not 0.02 < share < 0.98:
            return np.zeros(small.shape[:2], np.float32)
        mask = np.where(likely > 0, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
        cv2.setRNGSeed(0)  # its mixtures start from k-means
        behind, before = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        cv2.grabCut(bgr, mask, (0, 0, 1, 1), behind, before, ROUNDS, cv2.GC_INIT_WITH_MASK)  # mask, so no rectangle
        foreground = (mask & 1).astype(np.uint8)  # GC_FGD is 1, GC_PR_FGD is 3
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        whole = cv2.morphologyEx(cv2.morphologyEx(foreground, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
        return cv2.GaussianBlur(whole.astype(np.float32), (0, 0), SOFT)
