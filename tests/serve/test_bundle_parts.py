"""Parts that a bundle was made without: named as what it cannot do, with the command that makes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import skufp
from skufp.serve.answer import Answer
from skufp.serve.assembly import Sources, assemble
from skufp.serve.bundle import Bundle
from skufp.serve.parts import KINDS, NEEDED, MissingPartError


def one(found: Any) -> Answer:
    assert isinstance(found, Answer)
    return found


ASKS: dict[str, Callable[[Bundle], Any]] = {
    "encoder": lambda bundle: bundle.search(image=Image.new("RGB", (20, 20))),
    "views": lambda bundle: one(bundle.search(text="a red top"))[0].view,
    "thumbnails": lambda bundle: one(bundle.search(text="a red top"))[0].thumbnail,
    "aggregator": lambda bundle: bundle.parts.aggregator,
    "words": lambda bundle: bundle.parts.words,
    "word_index": lambda bundle: bundle.search(text="a red top", mode="words"),
    "policy": lambda bundle: bundle.parts.path("policy"),
    "confidence": lambda bundle: bundle.parts.path("confidence"),
    "attributes": lambda bundle: bundle.parts.readers,
}


@pytest.mark.parametrize("part", sorted(ASKS))
def test_a_part_that_is_missing_is_named_with_its_command(sources: Sources, tmp_path: Path, part: str) -> None:
    assert set(ASKS) | set(NEEDED) == set(KINDS)
    assemble(sources, tmp_path / "bundle", leave_out=[part])
    bundle = skufp.open(tmp_path / "bundle")
    assert part in bundle.missing
    assert part not in bundle.capabilities
    assert set(bundle.missing) | set(bundle.capabilities) == set(KINDS)
    assert not (tmp_path / "bundle" / part).exists()
    with pytest.raises(MissingPartError, match=f"the part '{part}' .* Make it: python -m skufp stage=bundle") as error:
        ASKS[part](bundle)
    assert error.value.command == bundle.missing[part]
    if part != "encoder":
        assert len(one(bundle.search(text="a red top"))) == 5


def test_without_an_encoder_the_catalogue_s_own_texts_are_answered(
    sources: Sources, whole: Path, tmp_path: Path
) -> None:
    assemble(sources, tmp_path / "bundle", leave_out=["encoder"])
    bundle = skufp.open(tmp_path / "bundle")
    found, expected = one(bundle.search(text="A red  TOP")), one(skufp.open(whole).search(text="a red top"))
    assert [(r.sku, r.view.view_id) for r in found] == [(r.sku, r.view.view_id) for r in expected]
    assert [r.score for r in found] == pytest.approx([r.score for r in expected], abs=1e-5)
    with pytest.raises(MissingPartError, match="the part 'encoder'"):
        bundle.search(text="a text that is in no catalogue")
