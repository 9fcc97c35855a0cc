"""A linear residual on query embeddings, fitted in closed form, that moves queries towards their SKUs' fingerprints.

Legend: N queries, D dim.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = "adapter.safetensors"


@dataclass(frozen=True)
class Adapter:
    """q' = (q + W q + b) / |q + W q + b|: ``weight`` W [D, D] and ``bias`` b [D], float32.

    It uses NumPy: one query takes microseconds. Where both are zero, queries are returned unchanged, bit by bit.
    """

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def unchanged(cls, dim: int) -> "Adapter":
        """Return the identity: the adapter of an infinite ridge."""
        return cls(np.zeros((dim, dim), np.float32), np.zeros(dim, np.float32))

    @classmethod
    def fit(cls, queries: np.ndarray, targets: np.ndarray, ridge: float | None) -> "Adapter":
        """Fit the residuals of ``queries`` [N, D] to ``targets`` [N, D], both of unit norm.

        Ridge regression (Hoerl and Kennard, Technometrics 12, 1970) with x = [q, 1], so that weight and bias shrink
        alike: [W, b] = Rᵀ X (Xᵀ X + ridge N/D I)⁻¹ for the residuals R [N, D]. N/D is the mean of the eigenvalues of
        the queries' part of Xᵀ X, so that a ``ridge`` means the same for few queries and many. A ridge of None is
        infinite; the result is then the identity, as it is without queries.
        """
        count, dim = queries.shape
        if ridge is None or not count:
            return cls.unchanged(dim)
        x = np.concatenate([queries, np.ones((count, 1))], axis=1, dtype=np.float64)
        residuals = np.asarray(targets, np.float64) - queries
        both = np.linalg.solve(x.T @ x + ridge * count / dim * np.eye(dim + 1), x.T @ residuals)
        return cls(np.ascontiguousarray(both[:-1].T, np.float32), both[-1].astype(np.float32))

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """[N, D] or [D] -> the same shape, unit norm."""
        if not self.weight.any() and not self.bias.any():
            return queries
        moved = queries + queries @ self.weight.T + self.bias
        return moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-12)

    def save(self, folder: Path) -> None:
        """Write adapter.safetensors into ``folder``."""
        from safetensors.numpy import save_file

        save_file({"weight": self.weight, "bias": self.bias}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "Adapter":
        """Read what save wrote; UserError for anything else."""
        from skufp.models.weights import misshapen, read_safetensors, refuse_misfit

        again = "Make the index again: python -m skufp stage=index"
        found = {name: value.numpy() for name, value in read_safetensors(folder / FILE, again).items()}
        bias = found.get("bias", np.zeros(0, np.float32))
        own = {"weight": np.zeros((len(bias), len(bias))), "bias": np.zeros(len(bias))}
        missing, unexpected = own.keys() - found.keys(), found.keys() - own.keys()
        refuse_misfit(str(folder / FILE), again, missing, unexpected, misshapen(own, found))
        return cls(**found)
