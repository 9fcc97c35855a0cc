"""Teacher views: a SKU's, chosen by all its held-out queries, and a query's, chosen by those of the other folds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skufp.artifacts.teachers import read_query_folds, read_teachers

NO_TEACHER = ("", 0.0)


@dataclass
class Teachers:
    """The teachers that the teacher stage chose. A teacher is (view_id, weight); weight 0 where there is none."""

    by_sku: dict[tuple[str, int], tuple[str, float]]
    fold_of_query: dict[tuple[str, str], int]

    @classmethod
    def load(cls, folder: Path) -> "Teachers":
        """Read the train split's teachers.parquet and queries.parquet."""

        chosen = read_teachers(folder)
        chosen = chosen.filter(pc.field("is_teacher") & ~pc.field("fallback") & (pc.field("split") == "train"))
        folds = read_query_folds(folder).filter(pc.field("split") == "train")
        return cls(
            {
                (sku, fold): (view, weight)
                for sku, fold, view, weight in rows(chosen, "sku_id", "fold", "view_id", "weight")
            },
            {(sku, query): fold for sku, query, fold in rows(folds, "sku_id", "view_id", "fold")},
        )

    def of_sku(self, sku: str) -> tuple[str, float]:
        """Return the view that ranks best for all of a SKU's held-out queries."""
        return self.by_sku.get((sku, -1), NO_TEACHER)

    def of_query(self, sku: str, query: str) -> tuple[str, float]:
        """Return the view that was chosen without this query's fold."""
        fold = self.fold_of_query.get((sku, query))
        return NO_TEACHER if fold is None else self.by_sku.get((sku, fold), NO_TEACHER)


def rows(table: pa.Table, *columns: str) -> Any:
    """Return an iterator over the rows of some columns."""
    return zip(*(table[c].to_pylist() for c in columns), strict=True)
