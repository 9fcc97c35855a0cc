"""The configuration: build(), targets checked without importing them, unknown keys, the loss's defaults."""

import subprocess
import sys
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pytest
from omegaconf import OmegaConf

from skufp.__main__ import check_composition
from skufp.config import (
    Config,
    Loss,
    LossWeights,
    build,
    check_keys,
    check_targets,
    complete_loss,
    locate,
    plain,
    register_schema,
)
from skufp.data.augment import PhonePhoto
from skufp.errors import UserError
from skufp.models.aggregators.attention import Attention
from skufp.models.preprocessing import Preprocessing

PREPROCESSING = {"_target_": "skufp.models.preprocessing.Preprocessing", "size": 32}


def test_build_takes_arguments_from_the_spec_and_extra_ones_win() -> None:
    assert build(PREPROCESSING) == Preprocessing(32)
    assert build(PREPROCESSING, fill=3) == Preprocessing(32, fill=3)
    assert build(PREPROCESSING, size=8) == Preprocessing(8)
    assert PREPROCESSING == {"_target_": "skufp.models.preprocessing.Preprocessing", "size": 32}


def test_build_resolves_interpolations() -> None:
    cfg = OmegaConf.create({"side": 48, "p": {**PREPROCESSING, "size": "${side}"}})
    assert build(cfg.p) == Preprocessing(48)


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.run", "builtins.eval", "skufpx.models.X", "torchx.y", "eval"]
)
def test_targets_outside_the_house_are_refused(target: str) -> None:
    with pytest.raises(UserError, match="must start with"):
        build({"_target_": target})
    with pytest.raises(UserError, match="must start with"):
        check_targets({"deep": [1, 2], "down": {"_target_": target}})


def test_torch_and_lightning_are_allowed() -> None:
    assert build({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}).out_features == 3
    assert locate("pytorch_lightning.Trainer").__name__ == "Trainer"


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Preprocessing has no setting 'letterbx'\. Did you mean 'letterbox'\?"):
        build({**PREPROCESSING, "letterbx": True})
    with pytest.raises(UserError, match="Did you mean 'letterbox'"):
        build(PREPROCESSING, letter_box=True)


def test_an_argument_of_something_that_takes_none_is_refused() -> None:
    with pytest.raises(UserError, match="strength"):
        build({"_target_": "skufp.actions.identity.Identity", "strength": 2})


def test_an_unknown_name_names_the_nearest_and_a_missing_module_is_named() -> None:
    with pytest.raises(UserError, match=r"has no 'Atention'\. Did you mean 'Attention'\?"):
        build({"_target_": "skufp.models.aggregators.attention.Atention", "dim": 4})
    with pytest.raises(UserError, match=r"there is no module 'skufp\.models\.agregators'"):
        build({"_target_": "skufp.models.agregators.Mean", "dim": 4})


@dataclass
class Holder:
    """Keeps what it is given."""

    inner: Any = None
    more: dict[str, Any] = field(default_factory=dict)


def test_nested_specs_are_built_first(monkeypatch: pytest.MonkeyPatch) -> None:
    import skufp.actions.identity

    monkeypatch.setattr(skufp.actions.identity, "Holder", Holder, raising=False)
    spec = {"_target_": "skufp.actions.identity.Holder", "inner": PREPROCESSING,
            "more": {"deep": {"p": PREPROCESSING}, "plain": {"a": 1}}}  # fmt: skip
    built = build(spec)
    assert built.inner == Preprocessing(32)
    assert built.more == {"deep": {"p": Preprocessing(32)}, "plain": {"a": 1}}
    kept = build({**spec, "_recursive_": False})
    assert kept.inner == PREPROCESSING
    assert kept.more == spec["more"]


def test_nested_specs_of_a_real_module_stay_plain_dicts() -> None:
    spec = {
        "_target_": "skufp.modules.fingerprint.Fingerprint", "_recursive_": False, "lr": 1e-3, "weight_decay": 0.0,
        "aggregator": {"_target_": "skufp.models.aggregators.attention.Attention", "heads": 2},
        "loss": {"weights": {"distill": 1.0}}, "warmup": 0.1, "steps": 2, "dim": 8,
    }  # fmt: skip
    module = build(spec)
    assert isinstance(module.aggregator, Attention)
    assert module.hparams["aggregator"] == spec["aggregator"]


def test_plain_leaves_no_omegaconf() -> None:
    cfg = OmegaConf.create({"a": 1, "b": {"c": ["${a}", None]}})
    assert plain(cfg.b) == {"c": [1, None]}
    assert type(plain(cfg.b)["c"]) is list
    assert plain(7) == 7


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"action": {"_target_": "skufp.models.aggregators.attention.Attention", "head": 4}}, "Did you mean 'heads'"),
        ({"a": {"b": {"_target_": "skufp.data.augment.PhonePhoto", "casts": 1}}}, r"a\.b .*Did you mean 'cast'"),
        ({"_target_": "skufp.models.siglip.tiny_siglip", "imagesize": 1}, "Did you mean 'image_size'"),
        ({"_target_": "skufp.models.nowhere.X"}, r"no module 'skufp\.models\.nowhere'"),
        ({"_target_": "skufp.nowhere.at.all.X"}, "no module"),
    ],
)
def test_check_targets_reads_signatures_from_the_source(node: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_targets(node)


def test_check_targets_lets_right_ones_pass() -> None:
    check_targets({
        "model": {"encoder": {"_target_": "skufp.models.siglip.SiglipEncoder", "pretrained": "x", "towers": "full"}},
        "augmentation": {"_target_": "skufp.data.augment.PhonePhoto", "cast": 0.1},
        "torch": {"_target_": "torch.nn.Foo"}, "n": [1, None],
        "loss": {"_recursive_": False, "_target_": "skufp.models.preprocessing.Preprocessing", "size": 3},
    })  # fmt: skip
    assert PhonePhoto(cast=0.1).cast == 0.1


def test_check_targets_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from skufp.config import check_targets\n"
        "check_targets({'a': {'_target_': 'skufp.models.siglip.SiglipEncoder', 'pretrained': 'x'},\n"
        "              'b': {'_target_': 'skufp.modules.retriever.Retriever', 'steps': 1}})\n"
        "heavy = {'torch', 'transformers', 'pytorch_lightning', 'cv2', 'faiss'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_keys_are_refused_at_any_depth() -> None:
    cfg = OmegaConf.create({"seed": 0, "trainer": {"devices": 1, "acelerator": "cpu"}})
    with pytest.raises(UserError, match=r"no setting 'trainer\.acelerator'\. Did you mean 'accelerator'"):
        check_keys(cfg, Config)
    with pytest.raises(UserError, match=r"no setting 'sed'\. Did you mean 'seed'"):
        check_keys(OmegaConf.create({"sed": 0}), Config)
    with pytest.raises(UserError, match=r"no setting 'loss\.weights\.smoth_ap'\. Did you mean 'smooth_ap'"):
        check_keys(OmegaConf.create({"loss": {"name": "mine", "weights": {"margin": 1, "smoth_ap": 1}}}), Config)
    with pytest.raises(UserError, match=r"no setting 'loss\.anything'"):
        check_keys(OmegaConf.create({"loss": {"anything": 1}}), Config)
    check_keys(OmegaConf.create({"seed": 0, "aggregator": {"anything": 1}, "trainer": {"devices": 2}}), Config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.weights.smoth_ap=1", r"no setting 'loss\.weights\.smoth_ap'\. Did you mean 'smooth_ap'\?"),
        ("+loss.weights.smoth_ap=1", r"no setting 'loss\.weights\.smoth_ap'\. Did you mean 'smooth_ap'\?"),
        ("loss.weights.margn=1", r"no setting 'loss\.weights\.margn'\. Did you mean 'margin'\?"),
        ("loss.temprature=1", r"no setting 'loss\.temprature'\. Did you mean 'temperature'\?"),
        ("loss.distill=1", r"no setting 'loss\.distill'\. Valid: .*weights"),
        ("loss=defualt", r"loss=defualt: there is no such choice\. Did you mean 'default'\?"),
        ("loss.weights.distill=much", r"loss\.weights\.distill=much"),
    ],
)
def test_an_unknown_loss_is_told_at_composition(override: str, message: str) -> None:
    register_schema()
    with pytest.raises(UserError, match=message):
        check_composition([override])


def test_every_loss_weight_can_be_set() -> None:
    register_schema()
    check_composition([f"loss.weights.{weight.name}=0.5" for weight in fields(LossWeights)])


def test_complete_loss_keeps_what_is_given_and_fills_in_the_schemas_defaults() -> None:
    given = {"name": "mine", "weights": {"margin": 2.0}, "temperature": 0.5, "prefix_dims": [64]}
    done = complete_loss(given)
    assert done == asdict(Loss()) | given | {"weights": asdict(LossWeights()) | {"margin": 2.0}}
    assert type(done["weights"]) is dict
    assert given["weights"] == {"margin": 2.0}
    assert complete_loss(done) == done


def test_complete_loss_of_nothing_has_no_loss() -> None:
    done = complete_loss({})
    assert not any(done["weights"].values())
    done["prefix_dims"].append(8)
    assert complete_loss({})["prefix_dims"] == []


def test_complete_loss_refuses_what_the_schema_does_not_know() -> None:
    for given in ({"weights": {"smoth_ap": 1.0}}, {"temprature": 0.1}):
        with pytest.raises((TypeError, UserError), match=r"smoth_ap|temprature"):
            complete_loss(given)
