"""What folders, reports and tables call the data: data.label, by default the name of its folder."""

import os
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from skufp.__main__ import config_folder
from skufp.arguments import quote
from skufp.errors import UserError
from skufp.pipeline import plan
from skufp.schema import register_schema
from skufp.stages import prepare


def _composed(*overrides: str) -> Any:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", list(overrides))


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        ([], "synthetic"),
        (["data=synthetic_large"], "synthetic_large"),
        (["data=synthetic", "data.root=elsewhere"], "synthetic"),
        (["data=deepfashion2", "data.root=/data/luma_df2"], "luma_df2"),
        (["data=deepfashion2", "data.root=/data/luma_df2/"], "luma_df2"),
        (["data=deepfashion2", "data.root=/data/luma_df2", "data.label=luma"], "luma"),
        (["data=folder", "data.root=" + quote("shop/autumn, 2026 {x}")], "autumn, 2026 {x}"),
        (["data=folder", "data.root=/"], "folder"),
        (["data=folder"], "folder"),
        (["data=catalogue", "data.manifest=/shop/autumn/products.csv"], "autumn"),
        (["data=catalogue", "data.manifest=/shop/autumn/products.csv", "data.root=/photos/all"], "all"),
        (["data=prepared", "data.root=laid/out"], "out"),
    ],
)
def test_the_label_is_the_folder_s_name_or_the_choice(overrides: list[str], label: str) -> None:
    assert _composed(*overrides).data.label == label


def test_data_beside_the_command_is_called_by_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my shop").mkdir()
    monkeypatch.chdir(tmp_path / "my shop")
    assert _composed("data=folder", "data.root=.").data.label == "my shop"
    assert _composed("data=catalogue", "data.manifest=products.csv").data.label == "my shop"


@pytest.mark.slow
def test_the_label_is_in_the_name_of_every_folder_and_in_no_key(tmp_path: Path) -> None:
    runs = f"runs={quote(str(tmp_path))}"
    for stage in ("evaluate", "policy_report", "describe", "cluster", "views"):
        first, second = (
            plan(_composed(runs, f"stage={stage}", "views=dit", "model=siglip_tiny", *more))
            for more in ([], ["data.label=my luma"])
        )
        assert [step.key for step in first] == [step.key for step in second]
        assert all(step.folder.name.startswith("synthetic") for step in first)
        assert all(step.folder.name.startswith("my_luma") for step in second)
        assert "my luma" not in str([step.settings for step in second])


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.label=autumn"):
        prepare.check(_composed("data.label=' '"))
    prepare.check(_composed())


def test_where_the_data_lies_is_not_looked_at(tmp_path: Path) -> None:
    assert not os.path.exists("/data/nowhere")
    assert _composed("data=deepfashion2", "data.root=/data/nowhere").data.label == "nowhere"
