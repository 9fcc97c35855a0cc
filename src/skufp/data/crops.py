"""Multi-process cropping that decodes each image once and survives a kill."""

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from skufp.artifacts.folder import Journal
from skufp.artifacts.records import CropRecord, Skipped, safe_name

QUALITY = 95
BATCH = 64
JOURNAL = "crops.journal.jsonl"
CLAMPED = "box sticks out: clamped to the image"


@dataclass(frozen=True)
class CropTask:
    """One original image and the crops to cut from it: (box or None, target, split, item)."""

    source: str
    name: str
    crops: tuple[tuple[tuple[int, int, int, int] | None, str, str, int], ...]


def plan_crops(records: list[CropRecord], root: Path) -> list[CropTask]:
    """Name every record's crop (`<split>/<domain>/<sku>/<view>.jpg`) and group the crops by image."""
    by_image: dict[str, list[CropRecord]] = {}
    for r in records:
        r.image_path = f"{r.split}/{r.domain}/{safe_name(r.sku_id)}/{safe_name(r.view_id)}.jpg"
        by_image.setdefault(r.orig_image_path, []).append(r)
    return [
        CropTask(str(root / image), image,
                 tuple((_box(r), r.image_path, r.split, r.item_idx) for r in rows))
        for image, rows in by_image.items()
    ]  # fmt: skip


def _box(record: CropRecord) -> tuple[int, int, int, int] | None:
    if record.bbox is None:
        return None
    x1, y1, x2, y2 = record.bbox
    return x1, y1, x2, y2


def cut_all(
    tasks: list[CropTask],
    out: Path,
    margin: float,
    max_side: int,
    workers: int,
    advance: Callable[[int], None],
) -> list[Skipped]:
    """Cut every task's crops into ``out``; return the crops that could not be cut.

    ``margin`` widens a box by that share of its sides; crops are shrunk to ``max_side`` pixels, never grown.
    Finished images are journalled in ``out``, so a second call does only what is left.
    """
    journal = Journal(out / JOURNAL)
    done = {row["image"] for row in journal.rows}
    advance(len(done))
    work = partial(cut, out=out, margin=margin, max_side=max_side)
    rest = iter([t for t in tasks if t.name not in done])
    with _pool(workers) as run:
        while batch := list(islice(rest, BATCH * workers)):
            rows = [
                {"image": task.name, "failed": failed} for task, failed in zip(batch, run(work, batch), strict=True)
            ]
            journal.append(rows)
            advance(len(rows))
    return [s for s in _journalled(journal) if s.reason != CLAMPED]


def clamped(out: Path) -> list[Skipped]:
    """Return the crops that cut_all made from a box that sticks out of its image: kept, and reported."""
    return [s for s in _journalled(Journal(out / JOURNAL)) if s.reason == CLAMPED]


def _journalled(journal: Journal) -> list[Skipped]:
    return [Skipped(**row) for done in journal.rows for row in done["failed"]]


class _pool:  # noqa: N801 - used as a function
    """Give a map over ``workers`` processes, or over none for a single worker."""

    def __init__(self, workers: int) -> None:
        self.executor = None
        if workers > 1:
            self.executor = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))

    def __enter__(self) -> Callable[[Any, list[CropTask]], Iterator[Any]]:
        if self.executor is None:
            return map
        return partial(self.executor.map, chunksize=8)

    def __exit__(self, *exception: object) -> None:
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)


def cut(task: CropTask, out: Path, margin: float, max_side: int) -> list[dict[str, Any]]:
    """Cut one image's crops; return a Skipped row (as a dict) for each that failed or was clamped."""
    try:
        image = open_image(Path(task.source))
    except UnreadableImageError as error:
        return [asdict(Skipped(split, task.name, item, error.reason, error.detail)) for _, _, split, item in task.crops]
    failed = []
    for box, target, split, item in task.crops:
        path = out / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if box is None and max(image.size) <= max_side and task.source.lower().endswith((".jpg", ".jpeg")):
            shutil.copyfile(task.source, path)  # keep the photo as it is: no second JPEG loss
            continue
        region = clamp(box, image.size, margin) if box else (0, 0, *image.size)
        if region is None:
            detail = f"box {list(box or ())}, image {image.width}x{image.height}"
            failed.append(asdict(Skipped(split, task.name, item, "box outside the image", detail)))
            continue
        if box and sticks_out(box, image.size):
            detail = f"box {list(box)}, image {image.width}x{image.height}"
            failed.append(asdict(Skipped(split, task.name, item, CLAMPED, detail)))
        crop = image.crop(region)
        crop.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
        crop.save(path, quality=QUALITY)
    return failed


def sticks_out(box: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    """Say whether ``box`` reaches beyond an image of ``size`` (width, height)."""
    return box[0] < 0 or box[1] < 0 or box[2] > size[0] or box[3] > size[1]


def clamp(box: tuple[int, int, int, int], size: tuple[int, int], margin: float) -> tuple[int, int, int, int] | None:
    """Widen ``box`` by ``margin`` of its sides and clamp it to ``size``; None if nothing is left."""
    dx, dy = round((box[2] - box[0]) * margin), round((box[3] - box[1]) * margin)
    x1, y1 = max(0, box[0] - dx), max(0, box[1] - dy)
    x2, y2 = min(size[0], box[2] + dx), min(size[1], box[3] + dy)
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


class UnreadableImageError(Exception):
    """An image that cannot be used: ``reason`` for the report's counts, ``detail`` for its rows."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


def open_image(path: Path) -> Image.Image:
    """Decode a photo fully, upright (EXIF), as RGB on white; raise UnreadableImageError if it is not one."""
    if not path.exists():
        raise UnreadableImageError("image file is missing", str(path.name))
    if path.stat().st_size == 0:
        raise UnreadableImageError("zero-byte image")
    try:
        with Image.open(path) as opened:
            opened.load()
            return flatten(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError("image does not decode", str(error)) from error


def flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` as RGB, transparent parts on white."""
    if image.mode.startswith("I;16") or image.mode == "I":  # 16-bit grey: Pillow would clip it to white
        image = image.point(lambda level: level / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
