"""contact_sheet.html: source, kept and rejected views side by side, in one self-contained file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, VIEW, ViewRow
from skufp.reports.html import write_html
from skufp.reports.picture import inlined

SKUS = 24  # rows of the sheet
SHOWN = {"source": 6, "kept": 12, "rejected": 12, "control": 6, "counterfactual": 6}  # pictures of a SKU
LABELS = {
    "source": "source", "kept": "kept", "rejected": "rejected", "control": "classic",
    "counterfactual": "counterfactual",
}  # fmt: skip
DISTANCES = {
    "kept": "kept views", "classic": "classic augmentation", "blurred": "the source itself, blurred",
    "real": "real view pairs of one SKU",
}  # fmt: skip
SPACES = {"distances": "Distance from the source as seen", "structure": "Distance in structure, both blurred"}
PLANTED = {"random": "of random other SKUs", "siblings": "of sibling styles", "held_out": "of the SKU itself"}
THUMB = 128  # longer side, in pixels
Item = TypeVar("Item")


@dataclass
class SkuGroup:
    """One SKU's row of the sheet; pictures are RGB [H, W, 3] uint8.

    ``sources`` are its real views by view id; ``made`` are rows of all kinds with their pictures; ``toward`` has one
    picture of every SKU that a counterfactual leads toward, if available.
    """

    split: str
    sku_id: str
    sources: dict[str, np.ndarray]
    made: list[tuple[ViewRow, np.ndarray]]
    toward: dict[str, np.ndarray] = field(default_factory=dict)


def choose_skus(rows: Iterable[ViewRow], limit: int = SKUS) -> list[tuple[str, str]]:
    """Return (split, sku_id) of at most ``limit`` SKUs, evenly spaced by the share of candidates kept.

    From the largest share to the smallest; if some SKU has no kept view, the last is such a SKU.
    """
    kept: dict[tuple[str, str], list[bool]] = {}
    for row in rows:
        if row.kind == VIEW:
            kept.setdefault(row.sku, []).append(row.kept)
    return _evenly(sorted(kept, key=lambda sku: (-sum(kept[sku]) / len(kept[sku]), sku)), limit)


def _evenly(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most ``limit`` items, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int)
    return [items[place] for place in places]


def write_contact_sheet(path: Path, groups: Iterable[SkuGroup], summary: Mapping[str, Any]) -> None:
    """Write the sheet; ``summary`` is the views stage's report.json.

    Of a SKU with more pictures than SHOWN some are shown, evenly over view conditions, with the number of all.
    """
    cards, template = [_card(group) for group in groups], Path(__file__).with_suffix(".html.j2")
    write_html(path, template, summary=summary, cards=cards, distances=DISTANCES, spaces=SPACES, planted=PLANTED)


def _card(group: SkuGroup) -> dict[str, Any]:
    """Return the template's values of one SKU: its heading, and its sections of tiles."""
    made = sorted(group.made, key=lambda item: (item[0].action, item[0].round, item[0].source_view, item[0].view_id))
    parts = {name: [item for item in made if _section(item[0]) == name] for name in LABELS}
    number = {view_id: place for place, view_id in enumerate(group.sources, 1)}
    sources = [{"picture": _inlined(p), "view_id": v, "number": number[v]} for v, p in group.sources.items()]
    sections = [_cut("source", sources)]
    for name, items in parts.items():
        if items:
            chosen = _cut(name, items)
            chosen["tiles"] = [_tile(row, picture, group, number) for row, picture in chosen["tiles"]]
            sections.append(chosen)
    first = made[0][0] if made else None
    return {
        "split": group.split, "sku": group.sku_id, "sections": sections,
        "category": first.category_name if first else "", "text": first.text if first else "",
        "kept": len(parts["kept"]), "candidates": len(parts["kept"]) + len(parts["rejected"]),
    }  # fmt: skip


def _section(row: ViewRow) -> str:
    if row.kind in (CONTROL, COUNTERFACTUAL):
        return row.kind
    return "kept" if row.kept else "rejected"


def _cut(name: str, items: list[Any]) -> dict[str, Any]:
    """Return a section with the items to show, and the number of all."""
    return {"name": name, "label": LABELS[name], "tiles": _evenly(items, SHOWN[name]), "total": len(items)}


def _tile(row: ViewRow, picture: np.ndarray, group: SkuGroup, number: dict[str, int]) -> dict[str, Any]:
    toward = group.toward.get(row.toward_sku)
    origin = [f"of source {number.get(row.source_view, row.source_view)}"] if len(number) > 1 else []
    origin += [f"round {row.round}"] if row.round else []
    return {
        "picture": _inlined(picture), "row": row, "toward": None if toward is None else _inlined(toward),
        "origin": ", ".join(origin),
    }  # fmt: skip


def _inlined(picture: np.ndarray) -> str:
    return inlined(picture, THUMB, quality=88, full_colour=True)
