"""The configuration: build(), targets checked without importing them, unknown keys, the loss's defaults."""

import subprocess
import sys
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from skufp.__main__ import check_composition, config_folder
from skufp.config import build, check_keys, check_targets, locate, plain
from skufp.data.augment import PhonePhoto
from skufp.errors import UserError
from skufp.models.aggregators.attention import Attention
from skufp.models.preprocessing import Preprocessing
from skufp.schema import Config, register_schema
from skufp.schema.fingerprint import Loss, LossWeights, complete_loss

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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": {"smoth_ap": 1.0}}, "There is no setting 'loss.weights.smoth_ap'. Did you mean 'smooth_ap'?"),
        ({"weights": {"margin": 1, "lisnet": 1}}, "There is no setting 'loss.weights.lisnet'. Did you mean 'listnet'?"),
        ({"temprature": 0.1}, "There is no setting 'loss.temprature'. Did you mean 'temperature'?"),
        ({"distill": 1.0}, "There is no setting 'loss.distill'. Valid: margin, name, negatives, prefix_dims,"
                           " rank_temperature, sibling_weight, temperature, weights."),
    ],
)  # fmt: skip
def test_complete_loss_refuses_what_the_schema_does_not_know(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        complete_loss(given)
    assert str(caught.value) == message


def test_a_module_refuses_such_a_loss_before_it_trains() -> None:
    spec = {
        "_target_": "skufp.modules.fingerprint.Fingerprint", "_recursive_": False, "lr": 1e-3, "weight_decay": 0.0,
        "aggregator": {"_target_": "skufp.models.aggregators.attention.Attention", "heads": 2},
        "loss": {"weights": {"contrastiv": 1.0}}, "warmup": 0.1, "steps": 2, "dim": 8,
    }  # fmt: skip
    with pytest.raises(UserError, match=r"loss\.weights\.contrastiv'\. Did you mean 'contrastive'\?"):
        build(spec)


# ---- The baseline of every evaluation: conf/stages/plain_attention.yaml ----


def _composed(*overrides: str) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [*overrides])


def test_plain_attention_learns_from_queries_alone_whatever_the_fingerprint_learns_from() -> None:
    other = ("aggregator=mean", "loss.weights.triplet=2", "loss.sibling_weight=7", "loss.margin=0.5",
             "loss.rank_temperature=1", "stages.teacher.choose=random", "stages.fingerprint.keep=last")  # fmt: skip
    usual, changed = (plain(_composed(*o).stages.plain_attention) for o in ((), other))
    assert changed == usual
    loss = complete_loss(usual["module"]["loss"])
    assert {name: weight for name, weight in loss["weights"].items() if weight} == {"contrastive": 1.0}
    assert loss["sibling_weight"] == 1.0
    assert usual["keep"] == "proven"
    assert usual["needs"] == ["embed"]
    module = build(usual["module"], steps=2, dim=8)
    assert isinstance(module.aggregator, Attention)


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("loss.temperature=0.5", "module.loss.temperature"),
        ("loss.prefix_dims=[4]", "module.loss.prefix_dims"),
        ("stages.fingerprint.module.lr=0.5", "module.lr"),
        ("stages.fingerprint.module.weight_decay=0.5", "module.weight_decay"),
        ("stages.fingerprint.module.warmup=0.5", "module.warmup"),
        ("stages.fingerprint.datamodule.query_pools=[learn]", "datamodule.query_pools"),
        ("stages.fingerprint.datamodule.batch_size=7", "datamodule.batch_size"),
        ("stages.fingerprint.steps=7", "steps"),
        ("stages.fingerprint.folds=7", "folds"),
        ("stages.fingerprint.ema=0.5", "ema"),
        ("stages.fingerprint.clip=7.5", "clip"),
        ("fingerprint_seed=7", "seed"),
    ],
)
def test_plain_attention_is_trained_as_the_fingerprint_is(override: str, where: str) -> None:
    cfg = _composed(override)
    found = plain(OmegaConf.select(cfg, f"stages.plain_attention.{where}"))
    assert found == plain(OmegaConf.select(cfg, f"stages.fingerprint.{where}"))
    assert found != plain(OmegaConf.select(_composed(), f"stages.plain_attention.{where}"))
