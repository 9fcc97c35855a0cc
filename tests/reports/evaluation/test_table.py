"""The printed tables and the plots, from figures made by hand."""

import base64
import io
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from skufp.reports.evaluation.plots import recall_plot, sizes_plot, strata_plot
from skufp.reports.evaluation.table import tables
from skufp.retrieval.comparison import Method, compare
from skufp.retrieval.evaluation.methods import LABELS


def _metrics(gap: bool) -> dict[str, Any]:
    """Every method ranks 1 or 30; the worst costs look like 20,000 SKUs of 64 views of 1152 numbers."""
    first = dict.fromkeys(LABELS, 200) | {"mean": 100, "multi_vector": 300 if gap else 100, "first_view": 0}
    methods = []
    for name, count in first.items():
        ranks = np.where(np.arange(400) < count, 1, 30)
        note = "oracle" if "oracle" in name else ""
        methods.append(Method(name, ranks, 64.0, 294912.0, {"p50_ms": 123.456, "p95_ms": 234.567}, note))
    return {
        "gallery": {"skus": 20000}, "queries": {"images": 10000, "skus": 12000, "texts": 9000, "distinct_texts": 8000},
        "image": compare(methods, np.arange(400), 100, 0),
    }  # fmt: skip


def _printed(metrics: dict[str, Any]) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    console.print(*tables("image", metrics))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("gap", [True, False])
def test_extreme_figures_are_not_cut(gap: bool) -> None:
    lines = _printed(_metrics(gap))
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    rows = [line for line in lines if line.strip().startswith(tuple(LABELS.values()))]
    assert len(rows) == 2 * len(LABELS) - 1  # the mean has no difference to itself


def test_shares_are_shown_only_where_there_is_a_gap() -> None:
    with_gap, without = _printed(_metrics(True)), _printed(_metrics(False))
    assert [line for line in with_gap if line.strip().startswith("GeM")][1].rstrip().endswith("50%, 50%")
    assert [line for line in without if line.strip().startswith("GeM")][1].rstrip().endswith("n/a")


def test_differences_drop_their_leading_zero_alone() -> None:
    line = next(line for line in _printed(_metrics(True)) if "GeM" in line and "[" in line)
    assert "+.250 [+." in line


def _text_of(svg: str) -> str:
    root = ElementTree.fromstring(base64.b64decode(svg.removeprefix("data:image/svg+xml;base64,")))
    assert root.tag.endswith("svg")
    return "".join(node.text or "" for node in root.iter() if isinstance(node.text, str)) + ElementTree.tostring(
        root, encoding="unicode"
    )


def test_plots_are_svg_and_need_no_plain_attention() -> None:
    image = _metrics(True)["image"]
    del image["attention_no_distill"]
    strata = {name: {"queries": 4} | {m: {"mrr": 0.5} for m in image} for name in ("1", "6+")}
    sizes = [
        {"vectors": "mean", "dims": 64, "kind": "int8", "bytes_per_sku": 64.0, "recall@1": 0.4},
        {"vectors": "fingerprint", "dims": 64, "kind": "rabitq", "bytes_per_sku": 16.0, "recall@1": 0.5},
        {"vectors": "fingerprint", "dims": 64, "kind": "pq", "skipped": "too few vectors"},
    ]
    for svg in (recall_plot(image), strata_plot(strata), sizes_plot(sizes, image)):
        assert "path" in _text_of(svg)
