"""stage=search: photos and texts in, a table, results.json and a contact sheet out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from skufp.artifacts.folder import read_json, write_json
from skufp.errors import UserError

VERSION = 1
TILE, GAP, LABEL = 200, 10, 34


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write results.json and contact_sheet.png."""
    from skufp.config import build
    from skufp.data.crops import UnreadableImageError, open_image
    from skufp.serve.engine import SearchEngine
    from skufp.stages.device import set_threads

    set_threads(cfg)
    pictures = []
    for path in cfg.query.image:
        try:
            pictures.append(open_image(Path(path)))
        except UnreadableImageError as error:
            raise UserError(f"--image {path}: {error}. Give a photo (JPEG, PNG, WebP, …)") from error
    engine = SearchEngine(inputs["prepare"], inputs["retriever"], inputs["embed"], inputs["index"])
    action = build(cfg.query.action)
    results: list[dict[str, Any]] = []
    for path, picture in zip(cfg.query.image, pictures, strict=True):
        hits = engine.search(engine.embed_photo(action(picture)), cfg.query.top_k)
        results.append({"image": str(path), "action": action.name, "hits": [asdict(h) for h in hits]})
    for text in cfg.query.text:
        hits = engine.search(engine.embed_text(text), cfg.query.top_k)
        results.append({"text": text, "hits": [asdict(h) for h in hits]})
    for result in results:
        for hit in result["hits"]:
            hit["image"] = str(inputs["prepare"] / hit["image_path"])
    contact_sheet(results).save(out / "contact_sheet.png")
    write_json(out / "results.json", results)
    if cfg.query.text and cfg.model.pretrained is None and not pq.read_metadata(words(inputs)).num_rows:
        Console(stderr=True).print(
            f"[yellow]warning:[/] these photos came without titles, so model={cfg.model.name} has learnt no words and"
            " the answer to a text is chance: give titles (data=catalogue), or use model=siglip"
        )


def words(inputs: dict[str, Path]) -> Path:
    """Return the table of the texts that the encoder was shown."""
    return inputs["embed"] / "text" / "rows.parquet"


def check(cfg: DictConfig) -> None:
    """Say what is wrong with the query before anything runs."""
    if not cfg.query.image and not cfg.query.text:
        raise UserError('stage=search needs something to look for: --image photo.jpg or --text "navy tee"')
    for path in cfg.query.image:
        if not Path(path).is_file():
            raise UserError(f"--image {path}: there is no such file (looked in {Path.cwd()})")
    if any(not text.strip() for text in cfg.query.text):
        raise UserError('the text to search for is empty: --text "navy tee"')
    if cfg.query.top_k < 1:
        raise UserError(f"query.top_k={cfg.query.top_k}: ask for at least one SKU")


def contact_sheet(results: list[dict[str, Any]]) -> Any:
    """Return a picture with one row per query: the query, then its answers with rank, SKU and score."""
    from PIL import Image, ImageDraw

    from skufp.data.crops import open_image

    most = max(len(r["hits"]) for r in results)
    step_x, step_y = TILE + GAP, TILE + LABEL + GAP
    sheet = Image.new("RGB", (GAP + step_x * (most + 1), GAP + step_y * len(results)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, result in enumerate(results):
        top = GAP + row * step_y
        if "image" in result:
            _tile(sheet, open_image(Path(result["image"])), GAP, top)
            draw.text((GAP, top + TILE + 4), "query", fill="black")
        else:
            draw.multiline_text((GAP, top + TILE // 3), _wrap(result["text"]), fill="black")
        for column, hit in enumerate(result["hits"], 1):
            left = GAP + column * step_x
            _tile(sheet, open_image(Path(hit["image"])), left, top)
            draw.text(
                (left, top + TILE + 4),
                f"{hit['rank']}. {hit['sku_id'][:28]}\n{hit['score']:.3f}",
                fill="black",
            )
    return sheet


def _tile(sheet: Any, picture: Any, left: int, top: int) -> None:
    picture.thumbnail((TILE, TILE))
    sheet.paste(picture, (left + (TILE - picture.width) // 2, top + (TILE - picture.height) // 2))


def _wrap(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(f"“{text}”", 30)[:6])


def show(cfg: DictConfig, folder: Path, console: Console) -> None:
    """Print one table per query."""
    for result in read_json(folder / "results.json"):
        asked = result.get("image") or f"“{result['text']}”"
        console.print(f"\n[bold]query:[/] {escape(asked)}", soft_wrap=True)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("", justify="right")
        table.add_column("SKU", overflow="fold")
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("category")
        table.add_column("best-matching view", overflow="fold")
        for hit in result["hits"]:
            row = (str(hit["rank"]), escape(hit["sku_id"]), f"{hit['score']:.3f}", hit["category"])
            table.add_row(*row, f"{Path(hit['image_path']).name} ({hit['view_score']:.3f})")
        console.print(table)
    console.print(f"pictures: {folder / 'contact_sheet.png'}\nresults:  {folder / 'results.json'}", soft_wrap=True)
