"""The contact sheet: what it shows, that it needs nothing else, and that text stays text."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skufp.artifacts.views import ViewRow
from skufp.reports.views.contact_sheet import SHOWN, SkuGroup, choose_skus, write_contact_sheet

SUMMARY: dict[str, Any] = {
    "candidates": 8, "kept": 3, "share": 0.375, "median_distance": 0.25, "median_structure": 0.0625,
    "by_action": {
        "back": {"candidates": 8, "kept": 3, "share": 0.375, "median_distance": 0.25, "median_structure": 0.0625},
    },
    "reasons": {"too far from its SKU": 5},
    "distances": {
        "kept": {"pairs": 3, "p10": 0.2, "median": 0.25, "p90": 0.3},
        "classic": {"pairs": 3, "p10": 0.1, "median": 0.125, "p90": 0.15},
        "blurred": {"pairs": 2, "p10": 0.21, "median": 0.22, "p90": 0.23},
        "real": None,
    },
    "structure": {
        "kept": {"pairs": 3, "p10": 0.02, "median": 0.0625, "p90": 0.08},
        "classic": {"pairs": 3, "p10": 0.07, "median": 0.08, "p90": 0.09},
        "blurred": {"pairs": 2, "p10": 0.01, "median": 0.015, "p90": 0.02},
        "real": None,
    },
    "beyond_classic": {"median": 1.0, "p90": None, "structure_median": 0.34, "structure_p90": 0.0},
    "planted": {
        "random": {"count": 200, "rejected": {"mean": 0.98, "low": 0.95, "high": 0.99}},
        "siblings": {"count": 0, "rejected": None},
    },
    "counterfactuals": {"candidates": 0},
    "notes": ["few views were kept: 3 of 8"],
}  # fmt: skip


class Page(HTMLParser):
    """Collects what a browser would see: text, tags with their attributes, and the text under every picture."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def pictures(self, alt: str) -> list[str]:
        return [a["src"] or "" for tag, a in self.tags if tag == "img" and alt in (a["alt"] or "")]


def make_row(number: int = 0, sku: str = "s1", **changes: Any) -> ViewRow:
    values = {
        "split": "train", "sku_id": sku, "pair_id": 1, "style": 1, "category_id": 1, "category_name": "skirt",
        "view_id": f"gen-{number:03d}", "kind": "view", "source_view": "real-1", "action": "back", "round": 0,
        "seed": number, "noise": 0.5, "toward_sku": "", "viewpoint": 3, "zoom_in": 1, "occlusion": 1,
        "own_similarity": 0.91, "source_similarity": 0.75, "structure_similarity": 0.875,
        "other_similarity": 0.5, "other_sku": "s2", "margin": 0.41,
        "category_found": 1, "colour_distance": 0.1, "kept": True, "reason": "", "text": "a skirt", "part": 0,
    }  # fmt: skip
    return ViewRow(**values | changes)


def flat(level: int, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def level_of(uri: str) -> int:
    """The grey of a picture on the page."""
    image = Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))
    return round(float(np.asarray(image).mean()))


def sheet(path: Path, *groups: SkuGroup, **summary: Any) -> Page:
    write_contact_sheet(path / "contact_sheet.html", groups, SUMMARY | summary)
    return Page((path / "contact_sheet.html").read_text(encoding="utf-8"))


def test_every_picture_is_shown_once_in_its_section_with_its_scores(tmp_path: Path) -> None:
    made = [
        (make_row(0), flat(40)),
        (make_row(1, kept=False, reason="too far from its SKU", own_similarity=0.12, margin=-0.34), flat(80)),
        (make_row(2, kind="control", action="flip"), flat(120)),
        (make_row(3, kind="counterfactual", action="to sibling", toward_sku="s9"), flat(160)),
    ]
    page = sheet(tmp_path, SkuGroup("train", "s1", {"real-1": flat(0)}, made, {"s9": flat(240)}))
    for alt, level in (("source view", 0), ("back, kept", 40), ("back, rejected", 80), ("flip, classic", 120),
                       ("to sibling, counterfactual", 160), ("the SKU it leads to", 240)):  # fmt: skip
        assert [level_of(uri) for uri in page.pictures(alt)] == [level]
    text = " ".join(page.text.split())
    assert "1 of 2 kept" in text
    assert "too far from its SKU" in text
    assert "own 0.12" in text
    assert "margin -0.34" in text
    assert "distance 0.25" in text
    assert "structure 0.12" in text
    assert "to s9" in text


def test_the_summary_is_on_top(tmp_path: Path) -> None:
    text = " ".join(sheet(tmp_path).text.split())
    assert "3 of 8 candidates kept (38 %)" in text
    assert "back 8 3 38 % 0.250 0.062" in text
    assert "too far from its SKU 5" in text
    assert "classic augmentation 3 0.100 0.125 0.150" in text
    assert "real view pairs of one SKU 0 n/a" in text
    assert "the source itself, blurred 2 0.010 0.015 0.020" in text
    assert text.index("Distance from the source as seen") < text.index("kept views beyond the classic median 100 %")
    assert text.index("Distance in structure") < text.index("kept views beyond the classic median 34 %")
    assert "kept views beyond the classic 90 % n/a" in text
    assert "kept views beyond the classic 90 % 0 %" in text
    assert "of random other SKUs 200 98 % 95 % to 99 %" in text
    assert "of sibling styles 0 n/a" in text
    assert "Few views were kept: 3 of 8." in text
    assert "Counterfactuals" not in text


def test_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    page = sheet(tmp_path, SkuGroup("train", "s1", {"real-1": flat(0)}, [(make_row(), flat(9))]))
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    urls = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert len(urls) == 2
    assert all((url or "").startswith("data:image/") for url in urls)
    assert not re.search(r"url\(|@import", (tmp_path / "contact_sheet.html").read_text(encoding="utf-8"))


def test_text_cannot_become_markup(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    row = make_row(kept=False, reason=evil, action=evil, text=evil, category_name=evil, sku=evil, toward_sku=evil)
    group = SkuGroup(evil, evil, {evil: flat(0), "b": flat(1)}, [(row, flat(9))])
    page = sheet(tmp_path, group, reasons={evil: 1}, notes=[evil])
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("<script>alert(1)</script>") == 10  # as text, wherever one was put


def test_a_view_names_its_source_where_there_are_several(tmp_path: Path) -> None:
    made = [(make_row(source_view="real-2", round=1), flat(9))]
    one = sheet(tmp_path, SkuGroup("train", "s1", {"real-2": flat(0)}, made))
    assert "of source" not in one.text
    two = sheet(tmp_path, SkuGroup("train", "s1", {"real-1": flat(0), "real-2": flat(0)}, made))
    assert "of source 2, round 1" in two.text


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    made = [(make_row(i, kept=False, reason="no", action="ab"[i >= 20]), flat(i)) for i in range(40)]
    page = sheet(tmp_path, SkuGroup("train", "s1", {"real-1": flat(0)}, made))
    assert f"{SHOWN['rejected']} of 40" in page.text
    shown = {action: len(page.pictures(f"{action}, rejected")) for action in "ab"}
    assert shown == {"a": SHOWN["rejected"] // 2, "b": SHOWN["rejected"] // 2}


def test_skus_are_chosen_from_the_most_kept_to_none_kept() -> None:
    rows = [make_row(i, sku=f"s{kept}", kept=i < kept) for kept in range(11) for i in range(10)]
    rows += [make_row(0, sku="only counterfactuals", kind="counterfactual")]
    assert choose_skus(rows, 3) == [("train", "s10"), ("train", "s5"), ("train", "s0")]
    assert choose_skus(rows, 24) == [("train", f"s{kept}") for kept in range(10, -1, -1)]
    assert choose_skus(rows[:10]) == [("train", "s0")]
    assert choose_skus([]) == []
