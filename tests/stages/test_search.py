"""stage=search: what is refused before anything runs, and what is said of the action."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from PIL import Image

from skufp.errors import UserError
from skufp.stages.bundle import has_learnt_words
from skufp.stages.search import action_taken, check, contact_sheet, fixed_action

CONF = Path(__file__).resolve().parents[2] / "conf"
NEEDS = ["prepare", "retriever", "embed", "index"]


def _settings(name: str, action: str | None = None, needs: list[str] = NEEDS) -> Any:
    query = {"image": [], "text": ["navy tee"], "top_k": 5, "mode": None, "filter": {}}
    policy = {"name": name, "action": action, "needs": needs}
    return OmegaConf.create({
        "query": query, "policy": policy, "actions": OmegaConf.load(CONF / "actions" / "default.yaml"),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "action", "message"),
    [
        ("fixed", "exposre", r"there is no such action\. Did you mean 'exposure'\?"),
        ("fixed", None, r"policy=fixed needs an action"),
        ("fixed", "adapt", r"'policy\.needs=\[prepare,retriever,embed,index,actions\]'"),
        ("none", "exposure", r"policy\.action=exposure is for policy=fixed, not for policy=none"),
        ("default", "exposure", r"not for policy=default"),
    ],
)
def test_actions_that_cannot_be_taken_are_refused(policy: str, action: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(_settings(policy, action))


@pytest.mark.parametrize("value", ["", None, []])
def test_a_filter_without_a_value_is_refused(value: Any) -> None:
    cfg = _settings("none")
    cfg.query.filter = {"colour": value}
    with pytest.raises(UserError, match=r"query\.filter\.colour has no value: query\.filter\.colour=red"):
        check(cfg)


@pytest.mark.parametrize(
    ("kind", "text", "rich_text", "learnt"),
    [("template", "", "red top", False), ("attributes", "", "red top", True), ("attributes", "a top", "", True)],
)
def test_words_are_learnt_from_the_texts_that_training_read(
    tmp_path: Path, kind: str, text: str, rich_text: str, learnt: bool
) -> None:
    pq.write_table(pa.table({"text": ["", text], "rich_text": ["", rich_text]}), tmp_path / "rows.parquet")
    cfg = OmegaConf.create({"data": {"text": kind}})
    assert has_learnt_words(cfg, {"embed": tmp_path}) is learnt


def test_what_can_be_done_passes() -> None:
    check(_settings("none"))
    check(_settings("default"))
    check(_settings("fixed", "identity"))
    check(_settings("fixed", "adapt", [*NEEDS, "actions"]))


def test_a_fixed_policy_takes_one_action() -> None:
    fixed = fixed_action(_settings("fixed", "exposure"), {})
    assert (fixed.action, list(fixed.edits)) == ("exposure", ["exposure"])


@pytest.mark.parametrize(
    ("policy", "result", "said"),
    [
        ("none", {"image": "a", "action": "identity", "predicted_gain": None, "edited": None}, ""),
        ("default", {"text": "navy tee"}, ""),
        ("default", {"image": "a", "action": "identity", "predicted_gain": 0.0, "edited": None}, " (action: identity)"),
        (
            "default",
            {"image": "a", "action": "exposure", "predicted_gain": 0.312, "edited": "b"},
            " (action: exposure, predicted gain +0.31)",
        ),
        (
            "fixed",
            {"image": "a", "action": "deskew", "predicted_gain": None, "edited": None},
            " (action: deskew, nothing to change)",
        ),
        (
            "default",
            {"image": "a", "action": "adapt", "predicted_gain": 0.1, "edited": None},
            " (action: adapt, predicted gain +0.10)",
        ),
    ],
)
def test_the_action_is_said(policy: str, result: dict[str, Any], said: str) -> None:
    assert action_taken(_settings(policy), result) == said


def test_the_contact_sheet_has_a_column_for_edited_photos(tmp_path: Path) -> None:
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (200, 200), colour).save(tmp_path / f"{name}.png")
    hit = {"image": str(tmp_path / "blue.png"), "rank": 1, "sku_id": "s", "score": 0.5}
    photo = {"image": str(tmp_path / "red.png"), "action": "exposure", "edited": "green.png", "hits": [hit]}
    sheet = contact_sheet([photo, {"text": "navy tee", "hits": [hit]}], tmp_path)
    assert sheet.width == 10 + 3 * 210
    row = [sheet.getpixel((110 + 210 * column, 110)) for column in range(3)]
    assert row == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert sheet.getpixel((110 + 210 * 2, 110 + 244)) == (0, 0, 255)  # a text's answers stand in the same columns
    plain = contact_sheet([photo | {"edited": None}], tmp_path)
    assert (plain.width, plain.getpixel((320, 110))) == (10 + 2 * 210, (0, 0, 255))
