"""Drafts: one view's garment, roughly placed in another view's layout. The augmenter refines them.

Views differ in silhouette, crop, model and background. A small network cannot move pixels far; a draft moves the
garment's box, and leaves the rest to the network. The idea is that of virtual try-on, which inpaints a garment into a
photo whose garment is masked out (VITON, Han et al., arXiv 1711.08447).

Legend: S side of all pictures, [3, S, S] float32, normalised; masks are [S, S] float32, 1 on the garment.
"""

import cv2
import numpy as np

from skufp.data.augment import foreground

INSIDE = 0.9  # share of a pixel's area: pixels at a garment's edge mix in the background's colour
LEAST = 16  # pixels; a garment with fewer pixels inside its edge keeps the edge


def garment_mask(picture: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return ``mask``, or if it is None the foreground of ``picture``, uint8, before an even background."""
    return foreground(picture) if mask is None else mask


def draft(picture: np.ndarray, mask: np.ndarray, layout: np.ndarray, layout_mask: np.ndarray) -> np.ndarray:
    """Return the photo ``layout`` [3, S, S] with the garment of ``picture`` [3, S, S] in place of its own.

    The box around the garment's ``mask`` [S, S] is stretched to the box around ``layout_mask`` [S, S]; where the layout
    silhouette is larger, it is filled with the garment's nearest colours. A layout without garment is returned
    unchanged; a picture without garment is treated as all garment.
    """
    if not (layout_mask > 0.5).any():
        return layout
    if not (mask > 0.5).any():
        mask = np.ones_like(mask)
    rows, columns = _box(mask)
    piece = np.ascontiguousarray(_spread_garment(picture, mask)[:, rows, columns].transpose(1, 2, 0))
    rows, columns = _box(layout_mask)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    way = cv2.INTER_AREA if size[0] < piece.shape[1] or size[1] < piece.shape[0] else cv2.INTER_LINEAR
    stretched = cv2.resize(piece, size, interpolation=way).transpose(2, 0, 1)
    side = layout.shape[-1]
    around = (0, 0), (rows.start, side - rows.stop), (columns.start, side - columns.stop)
    stretched = np.pad(stretched, around, mode="edge")  # a soft silhouette reaches a little beyond its box
    return layout_mask * stretched + (1 - layout_mask) * layout


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    ys, xs = np.nonzero(mask > 0.5)
    return slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)


def _spread_garment(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give every pixel outside the garment the colour of the nearest pixel of the garment."""
    inside = cv2.erode((mask > INSIDE).astype(np.uint8), np.ones((3, 3), np.uint8))
    if inside.sum() < LEAST:
        inside = (mask > 0.5).astype(np.uint8)
    _, label = cv2.distanceTransformWithLabels(1 - inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    pixel = np.zeros(label.max() + 1, np.int64)
    own = np.flatnonzero(inside)
    pixel[label.ravel()[own]] = own
    spread: np.ndarray = picture.reshape(3, -1)[:, pixel[label.ravel()]].reshape(picture.shape)
    return spread
