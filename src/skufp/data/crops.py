"""Multi-process cropping of images and masks that decodes each image once and resumes after a kill."""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from skufp.artifacts.folder import Journal
from skufp.artifacts.records import CropRecord, Skipped, safe_name
from skufp.compute.parts import LocalProcesses
from skufp.data.decode import UnreadableImageError, open_image
from skufp.data.masks import crop_mask, draw_mask

QUALITY = 95
BATCH = 64  # images a worker that are journalled at once
CHUNK = 8  # images that are sent to a worker at once
JOURNAL = "crops.journal.jsonl"
CLAMPED = "box sticks out: clamped to the image"
NO_POLYGON = "segmentation unusable: no mask"
SOME_POLYGONS = "segmentation unusable in part: mask of the rest"
NOTHING_INSIDE = "segmentation outside the crop: no mask"
BAD_MASK_FILE = "mask file unusable: no mask"
ADJUSTED = (CLAMPED, NO_POLYGON, SOME_POLYGONS, NOTHING_INSIDE, BAD_MASK_FILE)

Box = tuple[int, int, int, int]
Notes = list[tuple[str, str]]  # reason and detail, as Skipped has them


@dataclass(frozen=True)
class Crop:
    """One crop to cut: by its box (None: the whole image) into the file ``target``.

    ``mask`` is the file for the garment's mask, "" for none; for ``outline`` see CropRecord.
    """

    box: Box | None
    target: str
    split: str
    item: int
    mask: str = ""
    outline: Any = None


@dataclass(frozen=True)
class CropTask:
    """One original image and the crops to cut from it."""

    source: str
    name: str
    crops: tuple[Crop, ...]


def plan_crops(records: list[CropRecord], root: Path) -> list[CropTask]:
    """Name every record's crop (`<split>/<domain>/<sku>/<view>.jpg`) and mask (`.mask.png`); group them by image."""
    by_image: dict[str, list[CropRecord]] = {}
    for r in records:
        path = f"{r.split}/{r.domain}/{safe_name(r.sku_id)}/{safe_name(r.view_id)}"
        r.image_path, r.mask_path = f"{path}.jpg", f"{path}.mask.png" if r.outline else ""
        by_image.setdefault(r.orig_image_path, []).append(r)
    return [CropTask(str(root / image), image, tuple(map(_crop, rows))) for image, rows in by_image.items()]


def _crop(r: CropRecord) -> Crop:
    box = (r.bbox[0], r.bbox[1], r.bbox[2], r.bbox[3]) if r.bbox else None
    return Crop(box, r.image_path, r.split, r.item_idx, r.mask_path, r.outline)


def cut_all(
    tasks: list[CropTask],
    out: Path,
    margin: float,
    max_side: int,
    workers: int,
    advance: Callable[[int], None],
) -> list[Skipped]:
    """Cut every task's crops and masks into ``out``; return the crops that could not be cut.

    ``margin`` widens a box by that share of its sides; crops are shrunk to ``max_side`` pixels, never grown.
    Finished images are journalled in ``out``, so a second call does only what is left.
    """
    journal = Journal(out / JOURNAL)
    done = {row["image"] for row in journal.rows}
    advance(len(done))
    work = partial(cut, out=out, margin=margin, max_side=max_side)
    todo = [t for t in tasks if t.name not in done]
    with closing(LocalProcesses(workers, chunk=CHUNK).map(work, todo)) as failures:
        made = ({"image": task.name, "failed": failed} for task, failed in zip(todo, failures, strict=True))
        while rows := list(islice(made, BATCH * max(1, workers))):
            journal.append(rows)
            advance(len(rows))
    return [s for s in _journalled(journal) if s.reason not in ADJUSTED]


def adjusted(out: Path) -> list[Skipped]:
    """Return the crops that cut_all adjusted: their box clamped, or their mask incomplete or left out."""
    return [s for s in _journalled(Journal(out / JOURNAL)) if s.reason in ADJUSTED]


def _journalled(journal: Journal) -> list[Skipped]:
    return [Skipped(**row) for done in journal.rows for row in done["failed"]]


def cut(task: CropTask, out: Path, margin: float, max_side: int) -> list[dict[str, Any]]:
    """Cut one image's crops and masks; return a Skipped row (as a dict) for each that failed or was adjusted."""
    try:
        image = open_image(Path(task.source))
    except UnreadableImageError as error:
        return [asdict(Skipped(c.split, task.name, c.item, error.reason, error.detail)) for c in task.crops]
    rows = []
    for crop in task.crops:
        notes = _cut_one(crop, image, task.source, out, margin, max_side)
        rows += [asdict(Skipped(crop.split, task.name, crop.item, reason, detail)) for reason, detail in notes]
    return rows


def _cut_one(crop: Crop, image: Image.Image, source: str, out: Path, margin: float, max_side: int) -> Notes:
    region = clamp(crop.box, image.size, margin) if crop.box else (0, 0, *image.size)
    place = f"box {list(crop.box or ())}, image {image.width}x{image.height}"
    if region is None:
        return [("box outside the image", place)]
    path = out / crop.target
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = image.crop(region)
    picture.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    if crop.box is None and picture.size == image.size and source.lower().endswith((".jpg", ".jpeg")):
        shutil.copyfile(source, path)  # keep the photo as it is: no second JPEG loss
    else:
        picture.save(path, quality=QUALITY)
    notes = [(CLAMPED, place)] if crop.box and sticks_out(crop.box, image.size) else []
    return notes + (_cut_mask(crop, image.size, region, picture.size, out) if crop.mask else [])


def _cut_mask(crop: Crop, whole: tuple[int, int], region: Box, size: tuple[int, int], out: Path) -> Notes:
    """Save the mask of the crop that was cut by ``region`` from an image of size ``whole`` and shrunk to ``size``."""
    if isinstance(crop.outline, Path):
        drawn, detail = _open_mask(crop.outline, whole)
    else:
        drawn, detail = draw_mask(crop.outline, whole)
    if drawn is None:
        return [(BAD_MASK_FILE if isinstance(crop.outline, Path) else NO_POLYGON, detail)]
    mask = crop_mask(drawn, region, size)
    if mask is None:
        return [(NOTHING_INSIDE, f"crop {list(region)}")]
    mask.save(out / crop.mask)
    return [(SOME_POLYGONS, detail)] if detail else []


def _open_mask(path: Path, size: tuple[int, int]) -> tuple[Image.Image | None, str]:
    """Return a mask ("L") for an image of ``size``, or None and the reason why it cannot be used."""
    try:
        mask = open_image(path).convert("L")
    except UnreadableImageError as error:
        return None, f"{error.reason} ({error.detail})" if error.detail else error.reason
    if mask.size != size:
        return None, f"mask {mask.width}x{mask.height}, image {size[0]}x{size[1]}"
    return mask, ""


def sticks_out(box: Box, size: tuple[int, int]) -> bool:
    """Return whether ``box`` extends beyond an image of ``size`` (width, height)."""
    return box[0] < 0 or box[1] < 0 or box[2] > size[0] or box[3] > size[1]


def clamp(box: Box, size: tuple[int, int], margin: float) -> Box | None:
    """Widen ``box`` by ``margin`` of its sides and clamp it to ``size``; None if nothing is left."""
    dx, dy = round((box[2] - box[0]) * margin), round((box[3] - box[1]) * margin)
    x1, y1 = max(0, box[0] - dx), max(0, box[1] - dy)
    x2, y2 = min(size[0], box[2] + dx), min(size[1], box[3] + dy)
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None
