"""Drawing planned images and writing them with their annotations in DeepFashion2 layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from skufp.compute.parts import LocalProcesses

from .attributes import attribute_rows
from .cuts import CATEGORIES, LANDMARK_COUNTS
from .params import SPLITS, CatalogueParams
from .plan import ImagePlan, ItemPlan, plan
from .prints import Image
from .scenes import draw_user_photo
from .views import Drawing, Garment, draw_shop_view

CHUNK = 16
SMALLEST_PART = 24.0


def _polygons(labels: Image, label: int) -> list[list[int]]:
    """Outer contours of an item's visible part as [x, y, x, y, ...], largest first."""
    found, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = sorted(((float(cv2.contourArea(c)), k) for k, c in enumerate(found)), reverse=True)
    kept = [found[k] for area, k in parts if area >= SMALLEST_PART] or [found[k] for _, k in parts[:1]]
    slim = [cv2.approxPolyDP(c, 0.8, True) for c in kept]
    slim = [s if len(s) >= 3 else _as_box(s) for s in slim]
    return [[int(v) for v in s.reshape(-1)] for s in slim]


def _as_box(contour: Any) -> Any:
    x, y, w, h = cv2.boundingRect(contour)
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def _landmarks(drawing: Drawing, number: int, count: int) -> list[int]:
    """`count` outline points as [x, y, v, ...]; zeros where the view shows no outline."""
    if number >= len(drawing.outlines):
        return [0] * (3 * count)
    outline = drawing.outlines[number]
    chosen = outline[np.linspace(0, len(outline) - 1, count).round().astype(int)]
    height, width = drawing.labels.shape
    flat: list[int] = []
    for x, y in chosen.round().astype(int):
        if not (0 <= x < width and 0 <= y < height):
            flat += [0, 0, 0]
            continue
        near = drawing.labels[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
        flat += [int(x), int(y), 2 if (near == number + 1).any() else 1]
    return flat


def _annotation(item: ItemPlan, drawing: Drawing, number: int) -> dict[str, Any] | None:
    polygons = _polygons(drawing.labels, number + 1)
    if not polygons:
        return None
    points = np.concatenate([np.reshape(p, (-1, 2)) for p in polygons])
    (x1, y1), (x2, y2) = points.min(0), points.max(0)
    height, width = drawing.labels.shape
    share = float((x2 - x1) * (y2 - y1)) / (width * height)
    category = item.cut.category
    return {
        "segmentation": polygons, "scale": 1 if share < 0.2 else 2 if share < 0.5 else 3,
        "viewpoint": drawing.viewpoint, "zoom_in": drawing.zooms[number],
        "landmarks": _landmarks(drawing, number, LANDMARK_COUNTS[category]), "style": item.style,
        "bounding_box": [int(x1), int(y1), int(x2), int(y2)], "category_id": category,
        "occlusion": drawing.occlusions[number], "category_name": CATEGORIES[category],
    }  # fmt: skip


def _studio_stream(rng: np.random.Generator, image: ImagePlan, params: CatalogueParams) -> np.random.Generator:
    if rng.random() >= params.own_studio_share:
        return rng
    first = image.items[0]
    return np.random.default_rng([params.seed, SPLITS.index(image.split), 2, first.pair_id, first.style])


def draw(image: ImagePlan, params: CatalogueParams) -> tuple[bytes, dict[str, Any]]:
    """Draw one planned image; returns the JPEG file and its annotation (defects not yet applied)."""
    rng = np.random.default_rng([params.seed, SPLITS.index(image.split), 1, image.number])
    garments: list[Garment] = [(item.cut, item.colours, k + 1) for k, item in enumerate(image.items)]
    if image.source == "shop":
        drawing = draw_shop_view(rng, _studio_stream(rng, image, params), image.view, garments, params)
    else:
        drawing = draw_user_photo(rng, image.view, garments, params)
    low, high = params.user_quality
    quality = params.shop_quality if image.source == "shop" else int(rng.integers(low, high + 1))
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    items = [_annotation(item, drawing, k) for k, item in enumerate(image.items)]
    shown = [item for item in items if item is not None]
    notes: dict[str, Any] = {"source": image.source, "pair_id": image.items[0].pair_id}
    notes |= {f"item{k}": item for k, item in enumerate(shown, start=1)}
    return coded.tobytes(), notes


def _write(root: Path, image: ImagePlan, params: CatalogueParams) -> None:
    coded, notes = draw(image, params)
    folder, name = root / image.split, f"{image.number:06d}"
    if image.defect == "box_outside":
        x1, y1, x2, y2 = notes["item1"]["bounding_box"]
        notes["item1"]["bounding_box"] = [x1 - params.width // 4, y1, x2 + params.width // 2, y2]
    elif image.defect == "box_empty":
        x1, y1, _, _ = notes["item1"]["bounding_box"]
        notes["item1"]["bounding_box"] = [x1, y1, x1, y1]
    text = json.dumps(notes)
    text = text[: len(text) // 2] if image.defect == "json_broken" else text
    coded = coded[: len(coded) // 3] if image.defect == "image_truncated" else coded
    if image.defect != "image_missing":
        (folder / "image" / f"{name}.jpg").write_bytes(coded)
    (folder / "annos" / f"{name}.json").write_text(text, encoding="utf-8")


def _write_chunk(root: Path, images: Sequence[ImagePlan], params: CatalogueParams) -> int:
    cv2.setNumThreads(1)
    for image in images:
        _write(root, image, params)
    return len(images)


def generate(
    root: Path, params: CatalogueParams, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the catalogue under `root`; equal params give equal bytes whatever `workers` is.

    progress: called with (images written, images in all).
    """
    root = Path(root)
    images = plan(params)
    for split in {image.split for image in images}:
        for kind in ("image", "annos"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps(row) + "\n" for row in attribute_rows(images))
    (root / "attributes.jsonl").write_text(rows, encoding="utf-8")
    chunks = [images[k : k + CHUNK] for k in range(0, len(images), CHUNK)]
    done = 0

    def report(written: int) -> None:
        nonlocal done
        done += written
        if progress is not None:
            progress(done, len(images))

    mapper = LocalProcesses(workers, start="spawn")
    with closing(mapper.map(partial(_write_chunk, root, params=params), chunks)) as written:
        for count in written:
            report(count)
