"""From evidence to what a person reads: exact, probably, or not in the catalogue.

A Judge is fitted to the queries of one mode (photo, text) and one form of index, and saved as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skufp.retrieval.confidence.calibration import Calibration

PHOTO, TEXT = "photo", "text"  # kinds of query, each with a judge of its own
EXACT, PROBABLY, ABSENT = "exact", "probably", "not in the catalogue"
SURE = 0.5  # probability of the first answer from which it is called exact


@dataclass(frozen=True)
class Confidence:
    """Two probabilities of an answer, and what they amount to.

    ``in_catalogue``: the product is in the searched catalogue. ``first_is_it``: it is the first answer. ``verdict`` is
    EXACT, PROBABLY or ABSENT. ``simulated``: calibrated without any user photo.
    """

    in_catalogue: float
    first_is_it: float
    verdict: str
    simulated: bool = False

    @property
    def sentence(self) -> str:
        """What a person reads above the results."""
        inside, first = (f"{100 * value:.0f} %" for value in (self.in_catalogue, self.first_is_it))
        said = {
            EXACT: f"exact: the first result is the product with probability {first}",
            PROBABLY: f"probably in the catalogue ({inside}), not surely the first result ({first})",
            ABSENT: f"not in the catalogue (probability {inside} that it is); similar items:",
        }[self.verdict]
        return f"{said} [calibrated on simulated photos]" if self.simulated else said


@dataclass(frozen=True)
class Judge:
    """Calibrations of both questions; at or above ``threshold`` the product counts as in the catalogue."""

    in_catalogue: Calibration
    first_is_it: Calibration
    threshold: float
    prior: float = 0.5
    simulated: bool = False

    def judge(self, features: np.ndarray) -> list[Confidence]:
        """Return a Confidence for every row of ``features`` [Q, F]."""
        inside = self.in_catalogue.probability(features, self.prior)
        first = np.minimum(self.first_is_it.probability(features, self.prior), inside)
        return [
            Confidence(float(i), float(f), self.verdict(i, f), self.simulated)
            for i, f in zip(inside, first, strict=True)
        ]

    def verdict(self, in_catalogue: float, first_is_it: float) -> str:
        """Return EXACT, PROBABLY or ABSENT."""
        if in_catalogue < self.threshold:
            return ABSENT
        return EXACT if first_is_it >= SURE else PROBABLY

    def to_dict(self) -> dict[str, Any]:
        """Return what from_dict reads."""
        return {
            "in_catalogue": self.in_catalogue.to_dict(), "first_is_it": self.first_is_it.to_dict(),
            "threshold": self.threshold, "prior": self.prior, "simulated": self.simulated,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Judge":
        """Return what to_dict wrote."""
        inside, first = (Calibration.from_dict(values[name]) for name in ("in_catalogue", "first_is_it"))
        return cls(inside, first, float(values["threshold"]), float(values["prior"]), bool(values["simulated"]))
