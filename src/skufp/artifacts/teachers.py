"""The teacher stage's tables: how well each catalogue view represents its SKU, and the queries that measured it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FILE, QUERY_FILE = "teachers.parquet", "queries.parquet"
# One row per train view and fold. The means over queries are null where the view's SKU has none in that fold.
SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("sku_id", pa.string()),
        ("view_id", pa.string()),
        ("row", pa.int64()),  # the view's row number in the embed stage's vectors.npy and rows.parquet
        ("fold", pa.int64()),  # queries of this fold are left out; -1: none is
        ("queries", pa.int64()),  # held-out queries of the SKU that the view was ranked with
        ("rank", pa.float64()),  # mean over those queries, like the next five columns; 1 is best
        ("reciprocal_rank", pa.float64()),
        ("recall@1", pa.float64()),
        ("recall@5", pa.float64()),
        ("recall@10", pa.float64()),
        ("margin", pa.float64()),  # this view's score - the best wrong SKU's
        ("is_teacher", pa.bool_()),  # the view chosen for its SKU in this fold
        ("weight", pa.float64()),  # of the teacher: max(margin, 0), or 1 for a random teacher; 0 for every other row
        ("fallback", pa.bool_()),  # the SKU has no query in this fold: the mean of views replaces the teacher
    ]
)
# One row per held-out query that was used.
QUERY_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("sku_id", pa.string()),
        ("view_id", pa.string()),  # the query photo's own id
        ("row", pa.int64()),  # its row number in the embed stage's vectors.npy and rows.parquet
        ("fold", pa.int64()),  # the teacher of this fold was chosen without this query
    ]
)


def write_teachers(folder: Path, rows: pa.Table | list[dict[str, Any]]) -> None:
    """Write `teachers.parquet` from a table, or rows, with the columns of SCHEMA."""
    _write(folder / FILE, rows, SCHEMA)


def read_teachers(folder: Path) -> pa.Table:
    """Read `teachers.parquet`."""
    return pq.read_table(folder / FILE)


def write_query_folds(folder: Path, rows: pa.Table | list[dict[str, Any]]) -> None:
    """Write `queries.parquet` from a table, or rows, with the columns of QUERY_SCHEMA."""
    _write(folder / QUERY_FILE, rows, QUERY_SCHEMA)


def read_query_folds(folder: Path) -> pa.Table:
    """Read `queries.parquet`."""
    return pq.read_table(folder / QUERY_FILE)


def _write(path: Path, rows: pa.Table | list[dict[str, Any]], schema: pa.Schema) -> None:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table.select(schema.names).cast(schema), path)
