"""debug=…: one step of everything, and a handful of products learned by heart."""

import csv

import pytest

from skufp.composition import composed


def test_one_batch_reaches_every_training_stage_of_every_model():
    for choices in ([], ["model=lite", "judge=siglip_tiny"], ["model=siglip", "augmenter=s2", "policy=default"]):
        cfg = composed(["debug=one_batch", *choices])
        steps = {name: spec.steps for name, spec in cfg.stages.items() if "steps" in spec}
        assert len(steps) >= 6
        assert set(steps.values()) == {1}, steps
        assert cfg.trainer.checks == 1


def test_overfit_leaves_nothing_that_keeps_from_learning_by_heart():
    cfg = composed(["debug=overfit", "model=lite"])
    recipe = cfg.model.training
    assert cfg.model.augmentation is None
    assert (recipe.weight_decay, recipe.ema, recipe.wise_ft, recipe.keep) == (0, 0, None, "last")
    assert (cfg.data.dev_share, cfg.data.held_out_share) == (0, 0)


@pytest.mark.slow
def test_a_handful_of_products_is_learned_by_heart(skufp, only, tmp_path):
    pairs = "data.source.pairs={train: 2, validation: 1, test: 1}"
    settings = ["model=siglip_tiny", "trainer=cpu", "progress=false", "workers=1"]
    result = skufp("stage=retriever", "debug=overfit", pairs, *settings, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with (only(tmp_path, "retriever") / "logs" / "attempt-0" / "metrics.csv").open() as file:
        loss = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert min(loss[-3:]) < 0.2 * loss[0]
