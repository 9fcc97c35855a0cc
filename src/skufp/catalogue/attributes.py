"""From scores to accepted attributes: one reader per attribute, calibrated on labels, and the order of sources.

An override takes precedence over the manifest, the manifest over a probe, a probe over prompts and pixels. A reader
abstains below its threshold.

Legend: N products, K values of the attribute, D dim of embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skufp.catalogue.facts import MANIFEST, OVERRIDE, PIXELS, PROBE, PROMPT, Value
from skufp.catalogue.probe import Probe, fit_probe
from skufp.catalogue.scoring import choose_threshold, combine, fit_temperature, fit_weight, log_softmax
from skufp.catalogue.vocabulary import Attribute, Category

TEMPERATURE = 0.01  # of cosines where there are no labels: about the trained temperature of CLIP and SigLIP


@dataclass(frozen=True)
class Reader:
    """Turns one attribute's evidence into probabilities, and accepts or abstains.

    ``temperature`` scales the prompts' mean cosines; ``pixel_weight`` is the weight of the pixels' log probabilities in
    the product of both; ``sharpness`` is an exponent on the product; ``threshold`` is the lowest accepted confidence;
    ``labels`` is the number of products it was calibrated on. With a ``probe``, prompts and pixels are not used.
    """

    temperature: float = TEMPERATURE
    pixel_weight: float = 0.0
    sharpness: float = 1.0
    threshold: float = 0.6
    labels: int = 0
    probe: Probe | None = None

    def read(
        self,
        attribute: Attribute,
        scores: np.ndarray | None = None,
        pixels: np.ndarray | None = None,
        embeddings: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return log probabilities [N, K] from prompt ``scores`` and ``pixels`` [N, K], or from ``embeddings`` [N, D].

        ``pixels`` are log probabilities, and optional. A reader with a probe needs ``embeddings``, a reader without a
        probe ``scores``; ValueError otherwise.
        """
        if self.probe is not None:
            if embeddings is None:
                raise ValueError(f"{attribute.key}: its probe needs embeddings")
            return log_softmax(self.probe.scores(embeddings, attribute.values), 1 / self.sharpness)
        if scores is None:
            raise ValueError(f"{attribute.key}: it has no probe, and needs prompt scores")
        read = log_softmax(scores, self.temperature)
        if pixels is not None:
            read = combine(read, pixels, self.pixel_weight)
        return log_softmax(read, 1 / self.sharpness)

    def accept(
        self,
        attribute: Attribute,
        log_probabilities: np.ndarray,
        pixels: np.ndarray | None = None,
    ) -> list[Value | None]:
        """Return each row's most probable value, None where its confidence is below the threshold or NaN.

        Its source is the probe, else the prompt; or the pixels, where these alone give the same value.
        """
        accepted: list[Value | None] = []
        for row, log_p in enumerate(log_probabilities):
            best = int(np.nan_to_num(log_p, nan=-np.inf).argmax())
            confidence = float(np.exp(log_p[best]))
            if not confidence >= self.threshold:
                accepted.append(None)
                continue
            seen = pixels is not None and self.pixel_weight > 0 and int(pixels[row].argmax()) == best
            source = PROBE if self.probe else PIXELS if seen else PROMPT
            accepted.append(Value(attribute.values[best], min(confidence, 1.0), source))
        return accepted

    def to_dict(self) -> dict[str, Any]:
        """Return the reader as plain data; an infinite threshold is None."""
        numbers = {name: getattr(self, name) for name in ("temperature", "pixel_weight", "sharpness", "labels")}
        threshold = self.threshold if np.isfinite(self.threshold) else None
        return {**numbers, "threshold": threshold, "probe": self.probe.to_dict() if self.probe else None}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Reader":
        """Make a reader from to_dict's result."""
        threshold = float("inf") if row["threshold"] is None else row["threshold"]
        probe = Probe.from_dict(row["probe"]) if row["probe"] else None
        return cls(**{**row, "threshold": threshold, "probe": probe})


def calibrate(
    attribute: Attribute,
    scores: np.ndarray,
    labels: Sequence[str],
    precision: float,
    pixels: np.ndarray | None = None,
) -> Reader:
    """Fit temperature and pixel weight by NLL, and the threshold by ``precision``, on labelled products.

    scores [N, K] of prompts, pixels [N, K] log probabilities, labels [N] values of the attribute. Raises UserError for
    no labels or an unknown label.
    """
    target = _targets(attribute, labels)
    temperature = fit_temperature(scores, target)
    prompted = log_softmax(scores, temperature)
    weight = fit_weight(prompted, pixels, target) if pixels is not None else 0.0
    both = combine(prompted, pixels, weight) if pixels is not None else prompted
    sharpness = 1 / fit_temperature(both, target) if weight else 1.0
    final = log_softmax(both, 1 / sharpness)
    return Reader(temperature, weight, sharpness, _threshold(final, target, precision), len(labels))


def calibrate_probe(
    attribute: Attribute, embeddings: np.ndarray, labels: Sequence[str], groups: Sequence[str], precision: float
) -> tuple[Reader, np.ndarray]:
    """Fit a probe, and temperature and threshold on its left-out scores; return also their log probabilities.

    embeddings [N, D], labels and groups [N]; see fit_probe, also for its errors. The returned log probabilities [N, K]
    of a labelled product are by a probe trained without its group.
    """
    target = _targets(attribute, labels)
    fitted = fit_probe(embeddings, labels, groups, attribute.values)
    sharpness = 1 / fit_temperature(np.maximum(fitted.left_out, -30.0), target)
    left_out = log_softmax(fitted.left_out, 1 / sharpness)
    threshold = _threshold(left_out, target, precision)
    return Reader(sharpness=sharpness, threshold=threshold, labels=len(labels), probe=fitted.probe), left_out


def manifest_labels(fields: Mapping[str, str], category: Category) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the values of each attribute in a manifest's columns, main value first, and the unknown texts.

    A column may hold a list (with , ; / or |). The second dict has the columns whose text is not a known value.
    """
    found: dict[str, list[str]] = {}
    unknown: dict[str, str] = {}
    for attribute in category.attributes.values():
        for column in attribute.columns(fields):
            if not (text := fields[column].strip()):
                continue
            parts = [text, *text.replace(";", ",").replace("/", ",").replace("|", ",").split(",")]
            values = list(dict.fromkeys(v for v in map(attribute.resolve, parts) if v is not None))
            if values:
                found.setdefault(attribute.name, values)
            else:
                unknown[column] = text
    return found, unknown


def from_manifest(fields: Mapping[str, str], category: Category) -> tuple[dict[str, Value], dict[str, str]]:
    """Return the main value of each attribute in a manifest's columns, and the unknown texts; see above."""
    found, unknown = manifest_labels(fields, category)
    return {name: Value(values[0], 1.0, MANIFEST) for name, values in found.items()}, unknown


def settle(
    evidence: Mapping[str, Value | None], manifest: Mapping[str, Value], overrides: Mapping[str, str]
) -> dict[str, Value]:
    """Return a product's accepted attributes: by an override, else the manifest, else the evidence.

    An empty override leaves the attribute out.
    """
    settled = {name: value for name, value in evidence.items() if value is not None}
    settled |= manifest
    settled |= {name: Value(text, 1.0, OVERRIDE) for name, text in overrides.items() if text}
    return {name: value for name, value in settled.items() if overrides.get(name) != ""}


def _targets(attribute: Attribute, labels: Sequence[str]) -> np.ndarray:
    return np.array([attribute.values.index(attribute.check(label)) for label in labels], dtype=np.int64)


def _threshold(log_probabilities: np.ndarray, target: np.ndarray, precision: float) -> float:
    confidence = np.exp(log_probabilities.max(axis=1))
    return choose_threshold(confidence, log_probabilities.argmax(axis=1) == target, precision)
