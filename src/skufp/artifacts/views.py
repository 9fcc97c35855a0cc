"""The views stage's table: every candidate view, kept or not, and every control, with its scores and the reason."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FILE, COUNTERFACTUAL_FILE = "views.parquet", "counterfactuals.parquet"
KINDS = VIEW, CONTROL, COUNTERFACTUAL = "view", "control", "counterfactual"
SEPARATOR = "; "  # between the reasons of one row


@dataclass
class ViewRow:
    """One generated picture, in plain Python values.

    ``view_id`` is unique within ``split``. ``kind``: a ``view`` is a candidate for its SKU; a ``control`` is a classic
    augmentation of a kept candidate's source; a ``counterfactual`` leads toward ``toward_sku`` and is never a view.
    ``action`` is the name of the view condition. ``noise`` is the start of the path from noise to picture (1: noise
    alone). Similarities are cosines in the judge's space: to the own SKU, to the source view, to the source view with
    both blurred (``structure_similarity``) and to the nearest other SKU; ``margin`` is the first less the last.
    ``reason`` is empty where ``kept``, else the reasons for rejection. ``part`` numbers the shard that holds the
    picture. Parquet holds whole numbers as int64, so ``seed`` is below 2^63.
    """

    split: str
    sku_id: str
    pair_id: int
    style: int
    category_id: int
    category_name: str
    view_id: str
    kind: str
    source_view: str
    action: str
    round: int
    seed: int
    noise: float
    toward_sku: str
    viewpoint: int
    zoom_in: int
    occlusion: int
    own_similarity: float
    source_similarity: float
    structure_similarity: float
    other_similarity: float
    other_sku: str
    margin: float
    category_found: int
    colour_distance: float
    kept: bool
    reason: str
    text: str
    part: int

    @property
    def sku(self) -> tuple[str, str]:
        """The key that joins rows and records: split and sku_id."""
        return self.split, self.sku_id

    @property
    def distance(self) -> float:
        """The distance to the source: 1 - cosine similarity."""
        return 1 - self.source_similarity

    @property
    def structure_distance(self) -> float:
        """The distance to the source with both blurred: 1 - cosine similarity. A merely blurred copy is near."""
        return 1 - self.structure_similarity

    @property
    def reasons(self) -> list[str]:
        """The reasons for rejection; empty where it was kept."""
        return self.reason.split(SEPARATOR) if self.reason else []

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "ViewRow":
        """Make a row from a JSON or Parquet row; unknown keys are ignored."""
        return cls(**{f.name: row[f.name] for f in fields(cls) if f.name in row})

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a JSON row."""
        return asdict(self)


_TYPES: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
SCHEMA = pa.schema([(f.name, _TYPES[f.type]) for f in fields(ViewRow)])


def write_views(path: Path, rows: Iterable[ViewRow]) -> None:
    """Write rows as Parquet with the columns of SCHEMA, even without rows."""
    pq.write_table(pa.Table.from_pylist([row.to_dict() for row in rows], schema=SCHEMA), path)


def read_views(path: Path) -> list[ViewRow]:
    """Read what write_views wrote."""
    return [ViewRow.from_dict(row) for row in pq.read_table(path).to_pylist()]
