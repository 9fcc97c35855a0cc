"""stage=search: photos and texts in; a table, results.json, a contact sheet and the edited photos out."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from skufp.artifacts.folder import read_json, write_json
from skufp.config import plain
from skufp.data.query_photos import check_photos, open_photos
from skufp.data.thumbnail import thumbnail
from skufp.errors import UserError
from skufp.output import styled, warn
from skufp.retrieval.confidence.verdict import Confidence
from skufp.schema import Config
from skufp.schema.policy import FIXED, NONE
from skufp.serve.text_search import check_mode
from skufp.serve.texts import check_text

if TYPE_CHECKING:
    from skufp.serve.answer import Answer, Result
    from skufp.serve.bundle import Bundle
    from skufp.serve.query_policy import FixedAction

VERSION = 4
TILE, GAP, LABEL = 200, 10, 34
MODES = {"vector": "vectors", "words": "words", "hybrid": "vectors and words"}


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write results.json, contact_sheet.png, and a photo in edited/ for each that an action changed."""
    from skufp.compute.device import set_threads

    set_threads(cfg)
    pictures = open_photos(cfg)
    bundle = open_catalogue(cfg, inputs)
    wanted = plain(cfg.query.filter)
    among = bundle.matching(wanted, "query.filter")
    answers = bundle.answer(pictures, list(cfg.query.text), cfg.query.top_k, among, cfg.query.mode)
    asked: list[dict[str, Any]] = [{"image": str(path)} for path in cfg.query.image]
    asked += [{"text": text} for text in cfg.query.text]
    numbered = enumerate(zip(asked, answers, strict=True), 1)
    results = [found_for(query, answer, inputs["prepare"], out, number) for number, (query, answer) in numbered]
    if among is not None:
        results = [result | {"filter": {"wanted": wanted, "skus": len(among), "of": len(bundle)}} for result in results]
    contact_sheet(results, out).save(out / "contact_sheet.png")
    write_json(out / "results.json", results)
    if any(bundle.is_chance(answer) for answer in answers):
        warn(
            f"these photos came without titles, so model={cfg.model.name} has learnt no words and"
            " the answer to a text is chance: give titles (data=catalogue), learn from labels (data.text=attributes),"
            " or use model=siglip"
        )


def open_catalogue(cfg: Config, inputs: dict[str, Path]) -> "Bundle":
    """Return the opened bundle, with its own policy or the fixed action that ``policy`` names."""
    from skufp.serve.bundle import open_bundle

    bundle = open_bundle(inputs["bundle"])
    if cfg.policy.name == FIXED:
        bundle.engine.policy = fixed_action(cfg, inputs)
    return bundle


def found_for(asked: dict[str, Any], answer: "Answer", prepared: Path, out: Path, number: int) -> dict[str, Any]:
    """Return a query's entry in results.json: the action on a photo, and the results with their files."""
    taken: dict[str, Any] = {"mode": answer.mode} if answer.text is not None else {}
    if answer.text is None:
        edited = save_edited(answer.edited, out, number)
        taken = {"action": answer.action, "predicted_gain": answer.predicted_gain, "edited": edited}
    if answer.confidence is not None:
        taken["confidence"] = asdict(answer.confidence)
    return asked | taken | {"hits": [hit_of(result, prepared) for result in answer]}


def hit_of(result: "Result", prepared: Path) -> dict[str, Any]:
    """Return an answer as a row of results.json; ``image`` is the best view's crop."""
    names = ("rank", "split", "sku_id", "score", "category")
    view = {"view_id": result.view.view_id, "view_score": result.view.score, "image_path": result.view.image_path}
    return {name: getattr(result, name) for name in names} | view | {"image": str(prepared / result.view.image_path)}


def fixed_action(cfg: Config, inputs: dict[str, Path]) -> "FixedAction":
    """Return the action of policy=fixed."""
    from skufp.models.adapter import Adapter
    from skufp.serve.query_policy import FixedAction
    from skufp.stages.actions import image_actions

    adapter = Adapter.load(inputs["actions"]) if "actions" in inputs else None
    return FixedAction(str(cfg.policy.action), image_actions(cfg), adapter)


def save_edited(edited: Any, out: Path, number: int) -> str | None:
    """Save an edited photo; return its path in the stage's folder ``out``, None where there is none."""
    if edited is None:
        return None
    (out / "edited").mkdir(exist_ok=True)
    edited.save(out / f"edited/{number:02d}.jpg", quality=95)
    return f"edited/{number:02d}.jpg"


def check(cfg: Config) -> None:
    """Raise UserError for an invalid query before anything runs."""
    if not cfg.query.image and not cfg.query.text:
        raise UserError('stage=search needs something to look for: --image photo.jpg or --text "navy tee"')
    check_photos(cfg)
    for text in cfg.query.text:
        check_text(text, '--text "navy tee"')
    for name, value in cfg.query.filter.items():
        if value is None or value in ("", []):
            raise UserError(f"query.filter.{name} has no value: query.filter.{name}=red")
    check_mode(cfg.query.mode, "query.mode")
    if cfg.query.top_k < 1:
        raise UserError(f"query.top_k={cfg.query.top_k}: ask for at least one SKU")
    check_action_of(cfg)


def check_action_of(cfg: Config) -> None:
    """Raise UserError for an action without policy=fixed, an unknown action, and adapt if it is not trained."""
    action = cfg.policy.action
    if cfg.policy.name != FIXED:
        if action is not None:
            raise UserError(f"policy.action={action} is for policy=fixed, not for policy={cfg.policy.name}")
        return
    if action is None:
        raise UserError("policy=fixed needs an action, as in policy.action=exposure")
    from skufp.artifacts.actions import ADAPT
    from skufp.serve.query_policy import check_action
    from skufp.stages.actions import image_actions

    check_action(action, image_actions(cfg))
    if action == ADAPT and "actions" not in cfg.policy.needs:
        needs = ",".join([*cfg.policy.needs, "actions"])
        raise UserError(f"policy.action=adapt is learnt by stage=actions: add 'policy.needs=[{needs}]'")


def contact_sheet(results: list[dict[str, Any]], folder: Path) -> Any:
    """Return a picture with one row per query: the query, then its answers with rank, SKU and score.

    Where a photo was edited (the file is in ``folder``), a column after the queries shows what was searched with.
    """
    from PIL import Image, ImageDraw

    from skufp.data.decode import open_image

    asked = 2 if any(r.get("edited") for r in results) else 1
    most = max(len(r["hits"]) for r in results)
    step_x, step_y = TILE + GAP, TILE + LABEL + GAP
    sheet = Image.new("RGB", (GAP + step_x * (most + asked), GAP + step_y * len(results)), "white")
    draw = ImageDraw.Draw(sheet)

    def place(path: Path, column: int, top: int, label: str) -> None:
        left = GAP + column * step_x
        _tile(sheet, open_image(path), left, top)
        draw.text((left, top + TILE + 4), label, fill="black")

    for row, result in enumerate(results):
        top = GAP + row * step_y
        if "image" in result:
            place(Path(result["image"]), 0, top, "query")
        else:
            draw.multiline_text((GAP, top + TILE // 3), _wrap(result["text"]), fill="black")
        if result.get("edited"):
            place(folder / result["edited"], 1, top, f"action: {result['action']}")
        for column, hit in enumerate(result["hits"], asked):
            place(Path(hit["image"]), column, top, f"{hit['rank']}. {hit['sku_id'][:28]}\n{hit['score']:.3f}")
    return sheet


def _tile(sheet: Any, picture: Any, left: int, top: int) -> None:
    picture = thumbnail(picture, TILE)
    sheet.paste(picture, (left + (TILE - picture.width) // 2, top + (TILE - picture.height) // 2))


def _wrap(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(f"“{text}”", 30)[:6])


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print one table per query."""
    for result in read_json(folder / "results.json"):
        asked = result.get("image") or f"“{result['text']}” (by {MODES[result['mode']]})"
        console.print(styled(("\nquery:", "bold"), f" {asked}{action_taken(cfg, result)}"), soft_wrap=True)
        if filtered := result.get("filter"):
            wanted = ", ".join(f"{name} = {value}" for name, value in filtered["wanted"].items())
            console.print(f"filter: {wanted}: {filtered['skus']} of {filtered['of']} SKUs", soft_wrap=True)
        if trust := result.get("confidence"):
            console.print(Confidence(**trust).sentence, soft_wrap=True, markup=False, highlight=False)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("", justify="right")
        table.add_column("SKU", overflow="fold")
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("category")
        table.add_column("best-matching view", overflow="fold")
        for hit in result["hits"]:
            row = (str(hit["rank"]), hit["sku_id"], f"{hit['score']:.3f}", hit["category"])
            cosine = "" if hit["view_score"] is None else f" ({hit['view_score']:.3f})"
            table.add_row(*row, f"{Path(hit['image_path']).name}{cosine}")
        console.print(table)
    console.print(f"pictures: {folder / 'contact_sheet.png'}\nresults:  {folder / 'results.json'}", soft_wrap=True)


def action_taken(cfg: Config, result: dict[str, Any]) -> str:
    """Return the action on a photo in words; empty for texts and with policy=none."""
    if "image" not in result or cfg.policy.name == NONE:
        return ""
    gain, left = result["predicted_gain"], result["edited"] is None and result["action"] not in ("identity", "adapt")
    parts = [f"action: {result['action']}", "nothing to change" if left else ""]
    parts.append(f"predicted gain {gain:+.2f}" if gain else "")
    return f" ({', '.join(part for part in parts if part)})"
