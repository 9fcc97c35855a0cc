"""The other loggers write their files where the stage's folder is."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("logger", "pattern"), [("wandb", "*.wandb"), ("tensorboard", "events*")])
def test_logger_writes_beside_the_checkpoint(skufp, chain, tmp_path, only, logger, pattern):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "prepare").symlink_to(chain.folder / "runs" / "prepare")
    result = skufp(*chain.settings, f"logger={logger}", "stage=retriever", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert list(only(tmp_path, "retriever").rglob(pattern))
