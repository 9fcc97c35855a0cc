"""The teacher stage's report: how often and by how much a single view beats the first view and the mean.

Legend: N views, Q held-out queries, S SKUs, F folds.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # torch comes with it
    from skufp.retrieval.teacher import PairScores

VIEWPOINTS = {"0": "unknown", "1": "not worn", "2": "front", "3": "side or back"}
WAYS, BASES = ("cross_fitted", "in_sample"), ("first_view", "mean")
STYLE: dict[str, Any] = {"title_justify": "left", "box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}


@dataclass
class Choice:
    """The chosen views, and their candidates.

    sku_of_view [N], viewpoint [N], sku_of_query [Q], fold_of_query [Q]; teachers [1 + F, S] are view numbers, -1 for
    none: row 0 chosen by all queries, row 1 + f without those of fold f. Generated views [N] bool may be chosen, but
    SKUs are grouped by their number of real views.
    """

    pairs: "PairScores"
    sku_of_view: np.ndarray
    viewpoint: np.ndarray
    sku_of_query: np.ndarray
    fold_of_query: np.ndarray
    teachers: np.ndarray
    generated: np.ndarray

    def __post_init__(self) -> None:
        self.views = np.bincount(self.sku_of_view, minlength=self.teachers.shape[1])
        self.real_views = np.bincount(self.sku_of_view[~self.generated.astype(bool)], minlength=self.teachers.shape[1])
        self.first = np.unique(self.sku_of_view, return_index=True)[1]
        self.cross_fitted = self.teachers[1 + self.fold_of_query, self.sku_of_query]
        self.taught = self.teachers[0] >= 0
        self.taught_by_choice = self.taught & (self.views > 1)

    def reciprocal_ranks(self) -> dict[str, np.ndarray]:
        """Return each query's reciprocal rank [Q] with its SKU represented by teacher, first view and mean."""
        return {
            "cross_fitted": 1 / self.pairs.rank_with(self.cross_fitted),
            "in_sample": 1 / self.pairs.rank_with(self.teachers[0, self.sku_of_query]),
            "first_view": 1 / self.pairs.rank_with(self.first[self.sku_of_query]),
            "mean": 1 / self.pairs.rank_of_mean,
        }


def summary(choice: Choice, seed: int) -> dict[str, Any]:
    """Return counts, and the teachers' gains in reciprocal rank: in total, by number of real views and by viewpoint.

    ``cross_fitted`` scores a query with the teacher that was chosen without the query's fold (with the mean, if there
    is none): the figure to quote, with intervals that resample SKUs, over all queries and over those with a teacher.
    ``in_sample`` selects and scores on the same queries, hence is biased upwards. ``teacher_is_not_first_view`` is over
    SKUs with a teacher and several views.
    """
    from skufp.retrieval.comparison import view_count_stratum

    ranked = choice.reciprocal_ranks()
    stratum = view_count_stratum(choice.real_views)
    report = _part(choice, ranked, np.ones(len(stratum), bool)) | {
        "skus_falling_back_to_mean": int((~choice.taught).sum()),
        "queries_without_cross_fitted_teacher": int((choice.cross_fitted < 0).sum()),
        "reciprocal_rank": {name: _mean(values) for name, values in ranked.items()},
        "by_views": {str(name): _part(choice, ranked, stratum == name) for name in np.unique(stratum)},
        "by_viewpoint": by_viewpoint(choice),
    }
    everything = np.ones(len(choice.sku_of_query), bool)
    for name, queries in (("intervals", everything), ("where_taught", choice.cross_fitted >= 0)):
        report["cross_fitted"][name] = _intervals(choice, ranked, queries, seed)
    return report


def _part(choice: Choice, ranked: dict[str, np.ndarray], skus: np.ndarray) -> dict[str, Any]:
    """Return the counts and gains of the SKUs ``skus`` [S] bool."""
    queries = skus[choice.sku_of_query]
    counted = skus & choice.taught_by_choice
    return {
        "skus": int(skus.sum()),
        "skus_with_teacher": int((skus & choice.taught).sum()),
        "queries": int(queries.sum()),
        "teacher_is_not_first_view": _mean((choice.teachers[0] != choice.first)[counted]),
        **{way: {f"gain_over_{b}": _mean((ranked[way] - ranked[b])[queries]) for b in BASES} for way in WAYS},
    }


def _intervals(choice: Choice, ranked: dict[str, np.ndarray], queries: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the cross-fitted gains over the queries ``queries`` [Q] bool with intervals; empty without queries."""
    from skufp.retrieval.bootstrap import interval

    if not queries.any():
        return {}
    gains = {f"gain_over_{base}": (ranked["cross_fitted"] - ranked[base])[queries] for base in BASES}
    return {name: asdict(interval(gain, choice.sku_of_query[queries], seed=seed)) for name, gain in gains.items()}


def by_viewpoint(choice: Choice) -> dict[str, dict[str, Any]]:
    """Return how often teachers have each viewpoint, against a random choice among the same SKUs' views.

    Over SKUs with a teacher and several views; ``views`` is the number of their views with the viewpoint.
    """
    own = choice.taught_by_choice[choice.sku_of_view]
    viewpoint = choice.viewpoint[own]
    chosen = choice.viewpoint[choice.teachers[0, choice.taught_by_choice]]
    chance = 1 / choice.views[choice.sku_of_view[own]]
    return {
        str(name): {
            "views": int((viewpoint == name).sum()),
            "chosen": float((chosen == name).mean()),
            "by_chance": float(chance[viewpoint == name].sum() / len(chosen)),
        }
        for name in np.unique(viewpoint)
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def fallback_line(report: dict[str, Any]) -> str:
    """Return a line on the number of SKUs with a teacher, and the replacement for the others."""
    line = f"{report['skus_with_teacher']} of {report['skus']} train SKUs have a teacher"
    without = report["skus_falling_back_to_mean"]
    return f"{line}; {without} have no held-out query: the mean of their views stands in" if without else line


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print the report; tables fit 80 columns."""
    console.print(f"{fallback_line(report)}.", highlight=False)
    if not report["queries"]:
        return
    console.print(_gains_table(report), _intervals_table(report), _viewpoint_table(report))
    console.print(
        f"cross-fitted: a query is scored with the teacher chosen without it ({report['folds']} folds),\n"
        "  and with the mean where no other query is left\n"
        "in sample: chosen by the queries that it is scored on, hence biased upwards",
        highlight=False,
    )


def _gains_table(report: dict[str, Any]) -> Table:
    title = f"Gain in reciprocal rank by number of views, choose={report['choose']}"
    table = Table(title=title, **STYLE)
    table.add_column("views", no_wrap=True)
    names = ["SKUs", "with\nteacher", "not the\nfirst"]
    names += [f"{way}\nover {base}" for way in ("cross-\nfitted", "in\nsample") for base in ("first", "mean")]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in [*report["by_views"].items(), ("all", report)]:
        share = row["teacher_is_not_first_view"]
        gains = [row[way][f"gain_over_{base}"] for way in WAYS for base in BASES]
        cells = ["" if share is None else f"{share:.0%}", *("" if gain is None else f"{gain:+.3f}" for gain in gains)]
        table.add_row(name, str(row["skus"]), str(row["skus_with_teacher"]), *cells)
    return table


def _intervals_table(report: dict[str, Any]) -> Table:
    table = Table(title="Cross-fitted gain in reciprocal rank, with 95 % intervals over SKUs", **STYLE)
    table.add_column("queries")
    for name in ("over first view", "over mean"):
        table.add_column(name, no_wrap=True)
    taught = report["queries"] - report["queries_without_cross_fitted_teacher"]
    for name, part in ((f"all {report['queries']}", "intervals"), (f"{taught} that have a teacher", "where_taught")):
        gains = report["cross_fitted"][part]
        if gains:
            table.add_row(name, *(_signed(gains[f"gain_over_{base}"]) for base in BASES))
    return table


def _signed(i: dict[str, float]) -> str:
    return f"{i['mean']:+.3f} [{i['low']:+.3f}, {i['high']:+.3f}]"


def _viewpoint_table(report: dict[str, Any]) -> Table:
    table = Table(title="Viewpoint of teachers", **STYLE)
    table.add_column("viewpoint")
    for name in ("views", "chosen", "by chance"):
        table.add_column(name, justify="right")
    for name, row in report["by_viewpoint"].items():
        shares = f"{row['chosen']:.0%}", f"{row['by_chance']:.0%}"
        table.add_row(VIEWPOINTS.get(name, name), str(row["views"]), *shares)
    return table
