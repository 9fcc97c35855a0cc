"""The teacher table: how well each single catalogue view represents its SKU."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FILE = "teachers.parquet"
SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("sku_id", pa.string()),
        ("view_id", pa.string()),
        ("row", pa.int64()),  # the view's row in the embed stage's table
        ("fold", pa.int64()),  # queries of this fold are left out; -1: none is
        ("queries", pa.int64()),
        ("rank", pa.float64()),  # mean over queries, 1 is best
        ("reciprocal_rank", pa.float64()),
        ("recall@1", pa.float64()),
        ("margin", pa.float64()),  # mean of (this view's score - the best wrong SKU's)
        ("is_teacher", pa.bool_()),  # the best view of its SKU and fold
        ("fallback", pa.bool_()),  # no held-out query: the mean of views stands in
    ]
)


def write_teachers(folder: Path, rows: list[dict[str, object]]) -> None:
    """Write `teachers.parquet`; every row has the columns of SCHEMA."""
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / FILE)


def read_teachers(folder: Path) -> pa.Table:
    """Read `teachers.parquet`."""
    return pq.read_table(folder / FILE)
