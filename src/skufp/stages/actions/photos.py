"""The queries of stage=actions, and their encoding under every action, part by part.

Legend: N queries and twins, n of a part, A image actions (identity first), D dim, F features.
"""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skufp.artifacts.actions import QUERY_SCHEMA
from skufp.artifacts.records import QUERY
from skufp.compute.device import autocast, device, in_batches
from skufp.compute.progress import ProgressBar, worker_count
from skufp.errors import UserError
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.data.edited_photos import EditedPhoto, Photo
    from skufp.models.dual_encoder import Encoder

PARTS = "parts"
TRAIN, DEV = "train", "dev"  # the splits for the policy's training and calibration


def select_queries(cfg: Config, embedded: Path) -> pa.Table:
    """Return queries.parquet's table: train's held-out queries, then dev's, then data.queries', with their twins.

    UserError if no train query is held out.
    """
    from skufp.data.splits import HELD_OUT, fold_of_pair

    queries = [row for row in pq.read_table(embedded / "rows.parquet").to_pylist() if row["domain"] == QUERY]
    folds, seed = cfg.stages.actions.folds, cfg.stages.fingerprint.datamodule.seed
    train = [row for row in queries if row["split"] == TRAIN and row["pool"] == HELD_OUT]
    if not train:
        raise UserError(_no_held_out_query(cfg, any(row["split"] == TRAIN for row in queries)))
    rows = [row | {"fold": fold_of_pair(row["pair_id"], folds, seed), "twin": False} for row in train]
    for split in (DEV, cfg.data.queries):
        own = [row for row in queries if row["split"] == split]
        rows += [row | {"fold": -1, "twin": twin} for twin in (False, True) for row in own]
    names = [name for name in QUERY_SCHEMA.names if name != "number"]
    return pa.Table.from_pylist(
        [{"number": number} | {name: row[name] for name in names} for number, row in enumerate(rows)], QUERY_SCHEMA
    )


def _no_held_out_query(cfg: Config, has_queries: bool) -> str:
    if has_queries:
        return (
            f"no train query is held out from the retriever (data.held_out_share={cfg.data.held_out_share}), so actions"
            " cannot be labelled: prepare with data.held_out_share=0.3"
        )
    return (
        f"split 'train' of data={cfg.data.name} has no user photos, so actions cannot be labelled. Mark rows of the"
        " manifest with domain=query and split=train, or go on without actions (policy=none)"
    )


def parts(cfg: Config, count: int) -> list[range]:
    """Divide ``count`` photos into parts that are encoded and written together."""
    size = cfg.stages.actions.part_photos
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def encode_parts(cfg: Config, inputs: dict[str, Path], queries: pa.Table, specs: dict[str, Any], out: Path) -> None:
    """Edit, encode and write the missing parts; a finished part is not made again."""
    from skufp.config import build
    from skufp.data.edited_photos import Photo, edit_all
    from skufp.modules.encoder_folder import load_encoder

    todo = [part for part in parts(cfg, queries.num_rows) if not _vectors(out, part).exists()]
    if not todo:
        return
    (out / PARTS).mkdir(exist_ok=True)
    encoder = load_encoder(inputs["retriever"] / "encoder").to(device(cfg))
    actions = {name: build(spec) for name, spec in specs.items()}
    rows = queries.to_pylist()
    photos = (_photo(Photo, inputs["prepare"], rows[i]) for part in todo for i in part)
    edited = edit_all(photos, actions, encoder.preprocessing, worker_count(cfg))
    with ProgressBar(cfg, "queries under every action", sum(map(len, todo))) as advance:
        for part in todo:
            vectors, quality = [], []
            for batch in in_batches(islice(edited, len(part)), max(1, cfg.model.batch_size // len(actions))):
                vectors.append(encode(cfg, encoder, batch, len(actions)))
                quality += [photo.quality for photo in batch]
                advance(len(batch))
            _write(_quality(out, part), np.stack(quality))
            _write(_vectors(out, part), np.concatenate(vectors))


def _photo(kind: type["Photo"], prepared: Path, row: dict[str, Any]) -> "Photo":
    return kind(prepared / row["image_path"], f"{row['split']}/{row['view_id']}" if row["twin"] else "")


def encode(cfg: Config, encoder: "Encoder", batch: list["EditedPhoto"], actions: int) -> np.ndarray:
    """Return [n, A, D] of a batch; an action that left a photo unchanged has the photo's own vector, bit by bit."""
    import torch

    with torch.inference_mode(), autocast(cfg):
        pixels = torch.from_numpy(np.concatenate([photo.pixels for photo in batch])).to(device(cfg))
        encoded = encoder.encode_image(pixels).float().cpu().numpy()
    vectors = np.empty((len(batch), actions, encoded.shape[1]), np.float32)
    starts = np.cumsum([0, *(len(photo.pixels) for photo in batch)])
    for own, photo, start in zip(vectors, batch, starts[:-1], strict=True):
        own[:] = encoded[start]
        own[photo.changed] = encoded[start + 1 : start + len(photo.pixels)]
    return vectors


class Stored:
    """Finished parts on the disk: vectors are read one action at a time, since all may not fit in memory."""

    def __init__(self, out: Path, own: list[range]) -> None:
        self.out, self.parts = out, own

    def under(self, action: int) -> np.ndarray:
        """Return [N, D]: all photos under the action of this number."""
        files = (np.load(_vectors(self.out, part), mmap_mode="r", allow_pickle=False) for part in self.parts)
        return np.concatenate([vectors[:, action] for vectors in files])

    def quality(self) -> np.ndarray:
        """Return [N, F]."""
        return np.concatenate([np.load(_quality(self.out, part), allow_pickle=False) for part in self.parts])


def _vectors(out: Path, part: range) -> Path:
    """Return the path of a part's vectors [n, A, D]; they are written last, so the part is complete if they exist."""
    return out / PARTS / f"{part.start:06d}-vectors.npy"


def _quality(out: Path, part: range) -> Path:
    return out / PARTS / f"{part.start:06d}-quality.npy"


def _write(path: Path, values: np.ndarray) -> None:
    """Write an array atomically."""
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    temporary.rename(path)
