"""The pages of stage=cluster: a picture of every group, and clusters.html, a self-contained file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from skufp.reports.html import write_html
from skufp.reports.picture import inlined_crop

TILE, GAP, COLUMNS = 160, 8, 6
TRAITS = 6  # of a group on the page


def write_pictures(out: Path, shown: Sequence[Sequence[Path]]) -> Iterator[str]:
    """Write a grid of photos for every group into ``out``/pictures; yield its path inside ``out``."""
    (out / "pictures").mkdir(exist_ok=True)
    for number, photos in enumerate(shown, 1):
        name = f"pictures/{number:02d}.jpg"
        grid(photos).save(out / name, quality=88)
        yield name


def grid(photos: Sequence[Path]) -> Image.Image:
    """Return photos in a grid of COLUMNS columns, each uncropped on white."""
    from skufp.data.decode import open_prepared

    columns, step = min(COLUMNS, len(photos)), TILE + GAP
    rows = -(-len(photos) // columns)
    sheet = Image.new("RGB", (GAP + columns * step, GAP + rows * step), "white")
    for place, photo in enumerate(photos):
        tile = ImageOps.pad(open_prepared(photo), (TILE, TILE), color="white")
        sheet.paste(tile, (GAP + place % columns * step, GAP + place // columns * step))
    return sheet


def write_page(path: Path, title: str, result: dict[str, Any], shown: Sequence[Sequence[Path]]) -> None:
    """Write the page; ``result`` is clusters.json, ``shown`` are the photos of each group's first SKUs."""
    cards = [
        {
            "cluster": cluster,
            "traits": cluster["traits"][:TRAITS],
            "tiles": [
                {"picture": inlined_crop(photo), **sku} for photo, sku in zip(photos, cluster["skus"], strict=False)
            ],
        }
        for cluster, photos in zip(result["clusters"], shown, strict=True)
    ]
    best = max(result["silhouettes"].values())
    write_html(path, Path(__file__).with_suffix(".html.j2"), title=title, result=result, cards=cards, best=best)
