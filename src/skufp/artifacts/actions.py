"""The actions stage's tables: every query's rank under every action.

Legend: N queries and twins, A actions (identity first, adapt last), D dim, F features.
"""

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skufp.artifacts.folder import read_json, write_json

QUERY_FILE, FILE, ABOUT_FILE = "queries.parquet", "actions.parquet", "actions.json"
VECTORS, QUALITY = "vectors.npy", "quality.npy"
IDENTITY, ADAPT = "identity", "adapt"
CLIP = math.log(10)  # bound of a utility: the gain from rank 10 to rank 1
# One row per query or noisy twin: for each split the queries, then their twins in the same order.
QUERY_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),  # the row's own number
        ("split", pa.string()),
        ("sku_id", pa.string()),
        ("pair_id", pa.int64()),
        ("view_id", pa.string()),  # the query photo's own id; a twin has its original's
        ("image_path", pa.string()),  # in the prepare stage's folder
        ("fold", pa.int64()),  # its pair's fold, left out when fitting fingerprints and adapter; -1 outside train
        ("twin", pa.bool_()),
    ]
)
# One row per row of queries.parquet and action, in the orders of that table and of actions.json.
SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("action", pa.string()),
        ("rank", pa.int64()),  # 1 is best; ties count against us
        ("reciprocal_rank", pa.float64()),
        ("score", pa.float64()),  # of the own SKU's fingerprint
        ("margin", pa.float64()),  # score - the best other SKU's
    ]
)


@dataclass(frozen=True)
class ActionNames:
    """The content of actions.json: the order of actions, and the settings of the labels.

    ``specs`` are the resolved settings of the image actions; ``encoder`` is the encoder's hash; ``ridge`` is the
    adapter's, None where adapt is the identity.
    """

    actions: list[str]
    specs: dict[str, Any] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    encoder: str = ""
    ridge: float | None = None


@dataclass
class ActionLabels:
    """``queries`` (QUERY_SCHEMA, N rows), ``vectors`` [N, D], ``quality`` [N, F], ``answers`` (SCHEMA, N x A rows)."""

    queries: pa.Table
    vectors: np.ndarray
    quality: np.ndarray
    answers: pa.Table
    about: ActionNames

    def __post_init__(self) -> None:
        count = self.queries.num_rows
        if not len(self.vectors) == len(self.quality) == count:
            raise ValueError(f"{count} queries, {len(self.vectors)} vectors, {len(self.quality)} rows of quality")
        if self.answers.num_rows != count * len(self.actions):
            raise ValueError(f"{self.answers.num_rows} answers to {count} queries under {len(self.actions)} actions")

    @property
    def actions(self) -> list[str]:
        """The names of the columns of all wide arrays."""
        return self.about.actions

    def save(self, folder: Path) -> None:
        """Write all five files into ``folder``."""
        np.save(folder / VECTORS, np.ascontiguousarray(self.vectors, np.float32), allow_pickle=False)
        np.save(folder / QUALITY, np.ascontiguousarray(self.quality, np.float32), allow_pickle=False)
        pq.write_table(self.queries.select(QUERY_SCHEMA.names).cast(QUERY_SCHEMA), folder / QUERY_FILE)
        pq.write_table(self.answers.select(SCHEMA.names).cast(SCHEMA), folder / FILE)
        write_json(folder / ABOUT_FILE, asdict(self.about))

    @classmethod
    def load(cls, folder: Path) -> "ActionLabels":
        """Read the files that save wrote; vectors stay on the disk until used."""
        values = read_json(folder / ABOUT_FILE)
        about = ActionNames(**{f.name: values[f.name] for f in fields(ActionNames) if f.name in values})
        vectors, quality = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (VECTORS, QUALITY))
        return cls(pq.read_table(folder / QUERY_FILE), vectors, quality, pq.read_table(folder / FILE), about)

    def where(self, split: str | None = None, twin: bool | None = None) -> "ActionLabels":
        """Return the rows of a split, of originals or of twins, in order; None selects all."""
        mask = np.ones(self.queries.num_rows, bool)
        for name, value in (("split", split), ("twin", twin)):
            if value is not None:
                mask &= pc.equal(self.queries[name], pa.scalar(value)).to_numpy(zero_copy_only=False)
        return self.take(np.flatnonzero(mask))

    def take(self, rows: np.ndarray) -> "ActionLabels":
        """Return the given rows, in that order; their ``number`` stays."""
        of_answers = rows[:, None] * len(self.actions) + np.arange(len(self.actions))
        return ActionLabels(
            self.queries.take(pa.array(rows)), np.asarray(self.vectors[rows]), np.asarray(self.quality[rows]),
            self.answers.take(pa.array(of_answers.ravel())), self.about,
        )  # fmt: skip

    def column(self, name: str) -> np.ndarray:
        """Return a column of queries as a NumPy array [N]."""
        return self.queries[name].to_numpy(zero_copy_only=False)

    def wide(self, name: str) -> np.ndarray:
        """Return a column of answers as [N, A]."""
        return self.answers[name].to_numpy(zero_copy_only=False).reshape(-1, len(self.actions))

    def ranks(self) -> np.ndarray:
        """Return the own SKU's rank [N, A]."""
        return self.wide("rank")

    def utilities(self) -> np.ndarray:
        """Return [N, A]: an action's gain in log rank, clipped to -CLIP and CLIP; identity's is 0."""
        logs = np.log(self.ranks())
        return np.clip(logs[:, :1] - logs, -CLIP, CLIP)

    def __len__(self) -> int:
        return self.queries.num_rows


def answers_table(rank: np.ndarray, score: np.ndarray, margin: np.ndarray, actions: list[str]) -> pa.Table:
    """Return the answers' table from wide arrays [N, A]."""
    count = len(rank)
    columns = {
        "number": np.repeat(np.arange(count), len(actions)), "action": pa.array(actions * count, pa.string()),
        "rank": rank.ravel(), "reciprocal_rank": 1 / rank.ravel(), "score": score.ravel(), "margin": margin.ravel(),
    }  # fmt: skip
    return pa.table(columns).cast(SCHEMA)
