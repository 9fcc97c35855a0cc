"""MUVERA-style fixed-dimensional encodings: one vector per SKU whose inner product approximates max-similarity.

Dhulipala et al., 2024, arXiv 2405.19504, section 2: K random hyperplanes (SimHash) divide space into 2^K buckets. A SKU
has the mean of its views in every bucket; a query is in its one bucket. R repetitions are concatenated, with every
bucket projected to fewer dimensions by random signs.

Legend: N views, Q queries, S SKUs, D dim, R repetitions, K hyperplanes, P dimensions kept per bucket.
"""

from dataclasses import dataclass

import numpy as np

from skufp.errors import UserError
from skufp.retrieval.sku_blocks import sku_blocks


@dataclass(frozen=True)
class FixedDimensionalEncoding:
    """Random ``hyperplanes`` [R, K, D] and ``projections`` [R, D, P], the same for SKUs and queries."""

    hyperplanes: np.ndarray
    projections: np.ndarray

    @classmethod
    def draw(cls, dim: int, planes: int, repetitions: int, seed: int) -> "FixedDimensionalEncoding":
        """Draw an encoding of at most ``dim`` dimensions: R 2^K P <= D, with P as large as possible.

        Raises UserError if not even one dimension per bucket fits.
        """
        kept = dim // (repetitions * 2**planes)
        if kept < 1:
            raise UserError(
                f"stages.evaluate.fde: {repetitions} times 2^{planes} buckets do not fit into {dim} dimensions."
                " Try stages.evaluate.fde.planes=1 stages.evaluate.fde.repetitions=1"
            )
        rng = np.random.default_rng(seed)
        hyperplanes = rng.normal(size=(repetitions, planes, dim)).astype(np.float32)
        if kept == dim:
            return cls(hyperplanes, np.eye(dim, dtype=np.float32)[None])
        signs = rng.integers(0, 2, (repetitions, dim, kept)) * 2 - 1
        return cls(hyperplanes, (signs / kept**0.5).astype(np.float32))

    @property
    def buckets(self) -> int:
        """Number of buckets of one repetition, 2^K."""
        return 2 ** self.hyperplanes.shape[1]

    def codes(self, vectors: np.ndarray, repetition: int) -> np.ndarray:
        """Return the bucket [N] of each of ``vectors`` [N, D]: bit i is the side of plane i."""
        sides = vectors @ self.hyperplanes[repetition].T > 0
        return sides @ (1 << np.arange(sides.shape[1]))

    def encode_queries(self, queries: np.ndarray) -> np.ndarray:
        """[Q, D] -> [Q, R 2^K P]: the projected query in its own bucket, zeros elsewhere."""
        repetitions, _, kept = self.projections.shape
        encoded = np.zeros((len(queries), repetitions, self.buckets, kept), np.float32)
        for r in range(repetitions):
            encoded[np.arange(len(queries)), r, self.codes(queries, r)] = queries @ self.projections[r]
        return encoded.reshape(len(queries), -1)

    def encode_skus(self, views: np.ndarray, sku_of_view: np.ndarray, skus: int) -> np.ndarray:
        """[N, D] -> [S, R 2^K P]: in every bucket the mean of the SKU's views there.

        A bucket without a view takes the view whose bucket is nearest in Hamming distance, of ties the first.
        """
        repetitions, _, kept = self.projections.shape
        encoded = np.zeros((skus, repetitions, self.buckets, kept), np.float32)
        bucket = np.arange(self.buckets)
        for r in range(repetitions):
            code, projected = self.codes(views, r), views @ self.projections[r]
            for own, rows in sku_blocks(sku_of_view):
                inside = (code[rows][:, None, :] == bucket[:, None]).astype(np.float32)  # [B, 2^K, V]
                count = inside.sum(axis=2, keepdims=True)
                nearest = _hamming(code[rows][:, None, :], bucket[:, None]).argmin(axis=2)
                fill = projected[np.take_along_axis(rows, nearest, axis=1)]
                encoded[own, r] = np.where(count > 0, inside @ projected[rows] / np.maximum(count, 1), fill)
        return encoded.reshape(skus, -1)


def _hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the number of bits in which two codes differ."""
    return np.bitwise_count(np.bitwise_xor(a, b))
