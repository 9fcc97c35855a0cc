"""Calibration of the policy's strength and threshold after training, so that it acts only with a proven gain."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from skufp.artifacts.folder import write_json
from skufp.errors import UserError
from skufp.retrieval.bootstrap import standard_error

FILE = "calibration.json"
FEWEST = 10  # SKUs needed to estimate an error


@dataclass(frozen=True)
class Calibration:
    """The best threshold of predicted gains, its realised gain, and the threshold to use.

    ``best_threshold`` realises ``gain``, a mean over all queries, acting on a share of ``act_rate``. ``threshold`` is
    the same, or infinite where the gain does not exceed ``caution`` standard errors, or there are fewer than FEWEST
    SKUs.
    """

    threshold: float
    best_threshold: float
    gain: float
    standard_error: float
    act_rate: float
    queries: int
    skus: int


def calibrate(predicted: np.ndarray, realised: np.ndarray, sku: np.ndarray, caution: float) -> Calibration:
    """Choose the threshold for queries whose best action has gains ``predicted`` [N] and ``realised`` [N].

    Candidates are 0 and every predicted gain above it. The candidate with the largest realised sum is chosen, of ties
    the largest. As the best of many candidates its gain is biased upwards. For uninformative predictions the sums in
    order of prediction are a random walk, whose maximum exceeds ``caution`` standard errors with probability
    exp(-caution² / 2) at most (the end of a Brownian meander has a Rayleigh distribution; Denisov 1984): 61 % at 1,
    14 % at 2, 5 % at 2.45; less where actions hurt on the whole. Errors are over SKUs ``sku`` [N]. The bound assumes
    many small effects: where an action hurts a few SKUs much and helps most a little, it is exceeded more often.
    """
    usable = np.where(predicted > 0, predicted, 0.0)  # NaN counts as no gain
    candidates = np.unique(np.append(usable, 0.0))[::-1]
    order = np.argsort(-usable, kind="stable")
    total = np.append(0.0, np.cumsum(realised[order]))
    acted = np.searchsorted(-usable[order], -candidates, side="left")  # queries above each threshold
    winner = int(total[acted].argmax())
    best = float(candidates[winner])
    acts = usable > best
    values = np.where(acts, realised, 0.0)
    if not len(values):
        return Calibration(math.inf, best, 0.0, 0.0, 0.0, 0, 0)
    gain, error = float(values.mean()), standard_error(values, sku)
    skus = len(np.unique(sku))
    threshold = best if gain > caution * error and gain > 0 and skus >= FEWEST else math.inf
    return Calibration(threshold, best, gain, error, float(acts.mean()), len(values), skus)


class PolicyCalibration(pl.Callback):
    """Sets ``strength`` and ``threshold`` of ``module.network`` from out-of-fold predictions.

    The queries are the DataModule's ``evidence``: training queries, each predicted by the member that was trained
    without its fold, and dev queries. At most a share ``false_positive_rate`` of uninformative policies acts: the gain
    must exceed √(-2 ln rate) standard errors (see calibrate). Writes calibration.json into the stage's folder.
    """

    def __init__(self, false_positive_rate: float = 0.05) -> None:
        if not 0 < false_positive_rate <= 1:
            raise UserError(
                f"policy.false_positive_rate={false_positive_rate}: give a share above 0 and at most 1, e.g. 0.05"
            )
        self.false_positive_rate = false_positive_rate
        self.caution = math.sqrt(-2 * math.log(false_positive_rate))

    @torch.no_grad()
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Calibrate; unlike on_train_end this also runs when a finished run is resumed, and after averaging."""
        module: Any = pl_module
        network, was_training = module.network, module.training
        network.eval()
        evidence, sku = trainer.datamodule.evidence()  # type: ignore[attr-defined]
        rows = {name: value.to(module.device) for name, value in evidence.items()}
        inputs = [rows[name] for name in ("embedding", "features", "fold")]
        network.shrink(*inputs, rows["utility"], rows["weight"])
        predicted, action = (network.left_out(*inputs) - network.price).max(dim=1)
        realised = (rows["utility"] - network.price).gather(1, action[:, None])[:, 0]
        promised, brought = (x.double().cpu().numpy() for x in (predicted, realised))
        found = calibrate(promised, brought, sku, self.caution)
        network.threshold.fill_(found.threshold)
        network.train(was_training)
        if trainer.is_global_zero:
            strength = dict(zip(network.actions, network.strength.tolist(), strict=True))
            self._report(found, strength, Path(trainer.default_root_dir))

    def _report(self, found: Calibration, strength: dict[str, float], folder: Path) -> None:
        acts = math.isfinite(found.threshold)
        values = {name: value if math.isfinite(value) else None for name, value in asdict(found).items()}
        write_json(folder / FILE, {**values, "strength": strength, "caution": self.caution,
                                    "false_positive_rate": self.false_positive_rate, "acts": acts})  # fmt: skip
        if not acts:
            print(
                f"the policy will never act: at its best threshold it would change the log rank of {found.queries}"
                f" queries by {found.gain:+.4f} (standard error {found.standard_error:.4f}), which proves no gain"
            )
