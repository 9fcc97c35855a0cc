"""Candidate views for a part of a catalogue: drawn in rounds, judged, and drawn again with other noise if rejected."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.records import CropRecord
from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, VIEW, ViewRow
from skufp.data.decode import open_prepared
from skufp.data.view_kinds import ViewKinds
from skufp.data.view_mix import room
from skufp.generation.filter import FilterSettings, Measures, RealViews, Thresholds, measure, similarity_to_sku
from skufp.generation.judge import Judge, Looks
from skufp.generation.pictures import open_crop
from skufp.generation.request import AS_SOURCE, Photo, ViewCondition, ViewGenerator, ViewRequest
from skufp.generation.verdicts import COPY, judge_counterfactuals, judge_views

PREFERRED = ("front", "flat", "back", "zoom")  # kinds of source: those that show most of the garment come first
CLASSIC = ViewCondition("mixed")
LEAST_NOISE = 0.3
ANY = -1  # category
OTHERS = 8  # photos of the part that may serve as background
Item = tuple[ViewRow, np.ndarray]


@dataclass
class Catalogue:
    """A split's real catalogue views: ``records``, and in the same order the judge's features, ``real``.

    ``skus`` are the ids by ``real.sku``; ``rows`` are the positions of a SKU's views.
    """

    split: str
    records: list[CropRecord]
    real: RealViews
    skus: list[str]
    rows: dict[str, list[int]]


@dataclass
class Attempt:
    """A view condition to try for a SKU: the next noise, the source view, and whether a view was kept."""

    sku: str
    condition: ViewCondition
    noise: float
    source: int = 0
    kept: bool = False


@dataclass
class ViewMaker:
    """Makes views, controls and counterfactuals.

    ``mix`` {cap, views} sets how many views a SKU needs. A view condition is tried up to ``rounds`` times. After each
    failure the noise changes by ``noise_step``: more where the view copied its source, less otherwise. Every view of a
    round is judged, so a SKU may keep more views than it needs; data/view_mix.py chooses those that join the real
    ones. ``kinds`` names a record's kind of view.
    """

    prepared: Path
    generator: ViewGenerator
    control: ViewGenerator
    judge: Judge
    thresholds: Thresholds
    settings: FilterSettings
    conditions: list[ViewCondition]
    kinds: ViewKinds
    mix: Mapping[str, Any]
    rounds: int
    noise_step: float
    seed: int
    _opened: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)  # photos of this part
    _layouts: dict[str, dict[tuple[int, str], list[int]]] = field(default_factory=dict, init=False, repr=False)

    def part(self, catalogue: Catalogue, skus: Sequence[str], number: int) -> list[Item]:
        """Return every candidate, control and counterfactual of ``skus`` with its picture."""
        self._opened.clear()
        items = list(self._views(catalogue, skus, number))
        items += self._controls(catalogue, [row for row, _ in items if row.kept], number)
        if catalogue.split == "train" and len(catalogue.skus) > 1:
            items += self._counterfactuals(catalogue, skus, number)
        return items

    def _views(self, catalogue: Catalogue, skus: Sequence[str], number: int) -> Iterator[Item]:
        left = {sku: room(len(catalogue.rows[sku]), **self.mix) for sku in skus}
        wanted = [a for a in self.conditions if not a.toward]
        attempts = [Attempt(sku, condition, condition.noise) for sku in skus if left[sku] for condition in wanted]
        for again in range(self.rounds):
            due = [a for a in attempts if left[a.sku] > 0 and not a.kept]
            for attempt in due:
                attempt.source = self._sources(catalogue, attempt.sku)[again % len(catalogue.rows[attempt.sku])]
            requests = [self._request(catalogue, a, str(again), skus) for a in due]
            pictures = self.generator.draw(requests)
            sources = [a.source for a in due]
            measures = self._measure(catalogue, self.judge.look(pictures), sources)
            reasons = judge_views(measures, catalogue.real.category[sources], self.thresholds)
            for i, (attempt, request) in enumerate(zip(due, requests, strict=True)):
                row = self._row(catalogue, VIEW, attempt.condition, attempt.source, request, again, number, measures, i)
                row.reason = reasons[i]
                row.kept = attempt.kept = not reasons[i]
                left[attempt.sku] -= row.kept
                step = self.noise_step if COPY in row.reasons else -self.noise_step
                attempt.noise = float(np.clip(attempt.noise + step, min(attempt.noise, LEAST_NOISE), 1.0))
                yield row, pictures[i]

    def _controls(self, catalogue: Catalogue, kept: list[ViewRow], number: int) -> Iterator[Item]:
        """Yield one classic view of the same source for every kept view."""
        place = {r.view_id: i for i, r in enumerate(catalogue.records)}
        sources = [place[row.source_view] for row in kept]
        requests = [
            self._request(
                catalogue, Attempt(row.sku_id, CLASSIC, 0.0, source), f"{row.action}/{row.round}", [row.sku_id]
            )
            for row, source in zip(kept, sources, strict=True)
        ]
        pictures = self.control.draw(requests)
        measures = self._measure(catalogue, self.judge.look(pictures), sources)
        for i, (row, source) in enumerate(zip(kept, sources, strict=True)):
            made = self._row(catalogue, CONTROL, CLASSIC, source, requests[i], row.round, number, measures, i)
            made.view_id = f"control-{row.view_id}"
            yield made, pictures[i]

    def _counterfactuals(self, catalogue: Catalogue, skus: Sequence[str], number: int) -> Iterator[Item]:
        """Yield one view for every SKU and every condition that leads toward another SKU."""
        attempts = [Attempt(sku, condition, condition.noise, self._sources(catalogue, sku)[0])
                    for condition in self.conditions if condition.toward for sku in skus]  # fmt: skip
        targets = [self.neighbour(catalogue, a.sku, a.condition.toward or "") for a in attempts]
        requests = [self._request(catalogue, a, "0", skus, target) for a, target in zip(attempts, targets, strict=True)]
        pictures = self.generator.draw(requests)
        looks, sources, real = self.judge.look(pictures), [a.source for a in attempts], catalogue.real
        measures = self._measure(catalogue, looks, sources)
        toward = similarity_to_sku(looks.vectors, real.sku[targets], real)
        reasons = judge_counterfactuals(measures, toward, real.category[sources], self.thresholds)
        for i, (attempt, target) in enumerate(zip(attempts, targets, strict=True)):
            row = self._row(
                catalogue, COUNTERFACTUAL, attempt.condition, attempt.source, requests[i], 0, number, measures, i
            )
            row.toward_sku = catalogue.records[target].sku_id
            row.reason, row.kept = reasons[i], not reasons[i]
            yield row, pictures[i]

    def neighbour(self, catalogue: Catalogue, sku: str, toward: str) -> int:
        """Return another SKU's view most similar to ``sku``'s; a sibling's if ``toward`` is sibling and it has one."""
        real, own = catalogue.real, catalogue.rows[sku]
        similarity = (real.vectors @ real.vectors[own].T).max(axis=1)
        others = real.sku != real.sku[own[0]]
        siblings = others & (real.pair == real.pair[own[0]])
        allowed = siblings if toward == "sibling" and siblings.any() else others
        return int(np.where(allowed, similarity, -np.inf).argmax())

    def _sources(self, catalogue: Catalogue, sku: str) -> list[int]:
        def order(row: int) -> int:
            kind = self._kind(catalogue.records[row])
            return PREFERRED.index(kind) if kind in PREFERRED else len(PREFERRED)

        return sorted(catalogue.rows[sku], key=order)

    def _kind(self, record: CropRecord) -> str:
        return self.kinds.of(record.viewpoint, record.zoom_in)

    def _request(
        self, catalogue: Catalogue, attempt: Attempt, again: str, skus: Sequence[str], toward: int | None = None
    ) -> ViewRequest:
        record, condition = catalogue.records[attempt.source], attempt.condition
        like = self._kind(record) if condition.like == AS_SOURCE else condition.like
        name = f"{self.seed}/{record.split}/{record.sku_id}/{record.view_id}/{condition.name}/{again}"
        others = [catalogue.records[catalogue.rows[sku][0]] for sku in skus if sku != record.sku_id][:OTHERS]
        needs_others = condition.keep_garment or condition is CLASSIC
        seed = stable_seed(name)
        layout = None if needs_others or condition.toward else self._layout(catalogue, record, like, seed)
        return ViewRequest(
            picture=self._picture(record), condition=condition, like=like, noise=attempt.noise, seed=seed,
            mask=self._mask(record), category=record.category_name,
            toward=None if toward is None else self._photo(catalogue.records[toward]),
            layout=None if layout is None else self._photo(layout),
            others=tuple(self._picture(r) for r in others) if needs_others else (),
        )  # fmt: skip

    def _layout(self, catalogue: Catalogue, record: CropRecord, kind: str, seed: int) -> CropRecord | None:
        """Draw another SKU's view of ``kind``, of the same category if possible; None if there is none."""
        if catalogue.split not in self._layouts:
            table = self._layouts[catalogue.split] = defaultdict(list)
            for row, other in enumerate(catalogue.records):
                for category in (other.category_id, ANY):
                    table[category, self._kind(other)].append(row)
        for category in (record.category_id, ANY):
            rows = self._layouts[catalogue.split].get((category, kind), [])
            others = [row for row in rows if catalogue.records[row].sku_id != record.sku_id]
            if others:
                return catalogue.records[others[seed % len(others)]]
        return None

    def _photo(self, record: CropRecord) -> Photo:
        return Photo(self._picture(record), self._mask(record))

    def _picture(self, record: CropRecord) -> np.ndarray:
        if record.image_path not in self._opened:
            self._opened[record.image_path] = open_crop(self.prepared / record.image_path)
        return self._opened[record.image_path]

    def _mask(self, record: CropRecord) -> np.ndarray | None:
        if not record.mask_path:
            return None
        return np.asarray(open_prepared(self.prepared / record.mask_path).convert("L"), np.float32) / 255

    def _measure(self, catalogue: Catalogue, looks: Looks, sources: list[int]) -> Measures:
        rows, real = np.array(sources, np.int64), catalogue.real
        return measure(looks, real.sku[rows], rows, real, self.settings)

    def _row(
        self, catalogue: Catalogue, kind: str, condition: ViewCondition, source: int, request: ViewRequest, again: int,
        part: int, measures: Measures, i: int,
    ) -> ViewRow:  # fmt: skip
        record = catalogue.records[source]
        return ViewRow(
            split=record.split, sku_id=record.sku_id, pair_id=record.pair_id, style=record.style,
            category_id=record.category_id, category_name=record.category_name,
            view_id=f"{kind}-{record.view_id}-{condition.name}-{again}", kind=kind, source_view=record.view_id,
            action=condition.name, round=again, seed=request.seed, noise=request.noise, toward_sku="",
            viewpoint=record.viewpoint if condition.viewpoint is None else condition.viewpoint,
            zoom_in=record.zoom_in if condition.zoom_in is None else condition.zoom_in, occlusion=record.occlusion,
            own_similarity=float(measures.own_similarity[i]), source_similarity=float(measures.source_similarity[i]),
            structure_similarity=float(measures.structure_similarity[i]),
            other_similarity=float(measures.other_similarity[i]),
            other_sku=catalogue.skus[int(measures.other_sku[i])] if measures.other_sku[i] >= 0 else "",
            margin=float(measures.margin[i]), category_found=int(measures.category_found[i]),
            colour_distance=float(measures.colour_distance[i]), kept=True, reason="", text=record.text, part=part,
        )  # fmt: skip


def stable_seed(name: str) -> int:
    """Return a seed below 2^63 that depends on ``name`` alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1
