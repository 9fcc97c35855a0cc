"""The model cards of a real chain, beside the files that they are made from."""

from typing import Any

import pytest

from skufp.artifacts.folder import read_json
from skufp.reports.model_card import FILE


def test_the_cards_say_what_the_files_of_their_stages_say(chain, card_rows):
    for stage in ("retriever", "fingerprint", "plain_attention"):
        folder = chain.folders[stage]
        metrics = read_json(folder / "metrics.json")
        card = (folder / FILE).read_text(encoding="utf-8")
        table = card_rows(card)
        assert card.startswith(f"# Model card: {stage} of synthetic\n")
        assert f"- Steps: {metrics['steps']}." in card
        assert float(table["val/mrr"]) == pytest.approx(metrics["val/mrr"], rel=1e-3)
        assert table["model"] == "siglip_tiny"
        assert ("## Proof" in card) == (folder / "proof.json").exists() == (stage != "retriever")
    proof = read_json(chain.folders["fingerprint"] / "proof.json")
    table = card_rows((chain.folders["fingerprint"] / FILE).read_text(encoding="utf-8"))
    assert table["queries (SKUs, pairs)"] == f"{proof['queries']} ({proof['skus']}, {proof['pairs']})"
    kept = "the trained weights are kept" if proof["trained_is_kept"] else "the start is kept"
    assert table["decision"] == kept


def test_the_code_of_a_card_loads_what_the_stage_left(chain):
    """The Python block of each card runs in its folder."""
    for stage, name in (("retriever", "encoder"), ("fingerprint", "table")):
        card = (chain.folders[stage] / FILE).read_text(encoding="utf-8")
        code = card.partition("```python\n")[2].partition("```")[0]
        scope: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(chain.folders[stage])
            photo = next(chain.folders["prepare"].rglob("*.jpg"))
            exec(code.replace('"photo.jpg"', repr(str(photo))), scope)
        assert name in scope
        if stage == "retriever":
            assert float(scope["vector"].norm()) == pytest.approx(1, abs=1e-4)
