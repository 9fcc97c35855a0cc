"""The configuration: build(), targets checked without importing them, unknown keys, the loss's defaults."""

import importlib
import re
import subprocess
import sys
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from skufp.__main__ import check_composition, config_folder
from skufp.config import build, check_keys, check_stages, check_targets, locate, plain
from skufp.data.augment import PhonePhoto
from skufp.errors import UserError
from skufp.models.aggregators.attention import Attention
from skufp.schema import Config, register_schema
from skufp.schema.fingerprint import Loss, LossWeights, complete_loss
from skufp.targets import BUILT, EXPORTS, MOVED, name_of, place_of, stage_modules

PHOTO = {"_target_": "skufp.data.augment.PhonePhoto", "cast": 0.5}


def test_build_takes_arguments_from_the_spec_and_extra_ones_win() -> None:
    assert build(PHOTO) == PhonePhoto(cast=0.5)
    assert build(PHOTO, warp=3.0) == PhonePhoto(cast=0.5, warp=3.0)
    assert build(PHOTO, cast=0.25) == PhonePhoto(cast=0.25)
    assert PHOTO == {"_target_": "skufp.data.augment.PhonePhoto", "cast": 0.5}


def test_build_resolves_interpolations() -> None:
    cfg = OmegaConf.create({"cast": 0.75, "p": {**PHOTO, "cast": "${cast}"}})
    assert build(cfg.p) == PhonePhoto(cast=0.75)


HARMFUL = ["os.system", "subprocess.run", "builtins.eval", "skufpx.models.X", "torchx.y", "eval", "torch.load",
           "torch.hub.load", "torch.jit.load", "torch.nn.Linear", "pytorch_lightning.Trainer", "shutil.rmtree",
           "pytorch_lightning.utilities.cloud_io.load", "skufp.artifacts.folder.write_json", "skufp.data.crops.cv2",
           "skufp.models.lite.importlib.import_module", "skufp.models.weights.read_pickle",
           "skufp.stages.exports.save_policy", "", None, 3, ["skufp.data.augment.PhonePhoto"]]  # fmt: skip


@pytest.mark.parametrize("target", HARMFUL)
def test_only_what_is_listed_is_built(target: Any, tmp_path: Path) -> None:
    """The fault: torch.load with weights_only=False runs any code of a file."""
    file = str(tmp_path / "x")
    with pytest.raises(UserError, match="is not allowed"):
        build({"_target_": target, "f": file, "weights_only": False})
    with pytest.raises(UserError, match="is not allowed"):
        build({**PHOTO, "warp": {"deep": [{"_target_": target}]}})
    with pytest.raises(UserError, match=r"down\[1\]\.x\._target_ '.*' is not allowed"):
        check_targets({"deep": [1, 2], "down": [{}, {"x": {"_target_": target}}]})
    if target != "skufp.stages.exports.save_policy":
        with pytest.raises(UserError, match="is not allowed"):
            locate(target)


def test_an_export_is_a_listed_function() -> None:
    assert locate("skufp.stages.exports.save_policy").__name__ == "save_policy"
    with pytest.raises(UserError, match=r"export 'skufp\.stages\.exports\.save_polcy' .*Did you mean '.*save_policy'"):
        locate("skufp.stages.exports.save_polcy")


def _targets(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["_target_"]} if "_target_" in node else set()
        return own.union(*map(_targets, node.values()))
    return set().union(*map(_targets, node)) if isinstance(node, list) else set()


def _shipped() -> list[Any]:
    folders = (config_folder(), config_folder().parent / "experiments")
    return [yaml.safe_load(file.read_text()) or {} for folder in folders for file in sorted(folder.rglob("*.yaml"))]


def test_what_may_be_built_is_what_the_shipped_configuration_builds() -> None:
    beside = {
        "skufp.models.latents.Pixels",  # the network works in pixels: a choice of latents without a file of its own
    }
    assert set().union(*map(_targets, _shipped())) | beside == BUILT
    assert {spec["export"] for spec in _shipped() if "export" in spec} - {"${stages.fingerprint.export}"} == EXPORTS
    stages = [yaml.safe_load(file.read_text()) for file in (config_folder() / "stages").glob("*.yaml")]
    assert {spec["run"] for spec in stages} == stage_modules()


@pytest.mark.parametrize("name", sorted(BUILT | EXPORTS))
def test_what_is_listed_is_there_and_defined_where_it_is_named(name: str) -> None:
    module, _, attribute = place_of(name).rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert callable(found)
    assert name_of(f"{module}.{attribute}") == name
    if name.startswith("skufp."):
        assert (found.__module__, found.__qualname__) == (module, attribute)


def test_only_listed_names_have_moved_and_none_shadows_another() -> None:
    assert set(MOVED) <= BUILT | EXPORTS
    assert not set(MOVED.values()) & (BUILT | EXPORTS)
    assert len(set(MOVED.values())) == len(MOVED)


def test_a_class_that_moved_is_built_checked_and_saved_by_its_old_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keys and saved folders hold the name: it stays, wherever the class goes."""
    from skufp.models.siglip import tiny_siglip
    from skufp.modules.encoder_folder import load_encoder, save_encoder

    old = "skufp.models.gone.Encoder"
    monkeypatch.setitem(MOVED, old, "skufp.models.siglip.SiglipEncoder")
    for module in ("config", "factory"):
        monkeypatch.setattr(f"skufp.{module}.BUILT", BUILT | {old})
    save_encoder(tiny_siglip(16, 8, 8, 1, 1, 0), tmp_path)
    assert f'"{old}"' in (tmp_path / "skufp_encoder.json").read_text()
    assert type(load_encoder(tmp_path)).__qualname__ == "SiglipEncoder"
    with pytest.raises(UserError, match="has no setting 'x'"):
        check_targets({"e": {"_target_": old, "x": 1}})


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"run": "os"}, r"stages\.x\.run 'os' is not allowed\. Allowed are skufp\.stages\.actions, "),
        ({"run": "skufp.stages.prepair"}, r"Did you mean 'skufp\.stages\.prepare'\?"),
        ({"run": "skufp.compute.progress"}, "is not allowed"),
        ({"run": "skufp.stages.fit", "export": "os.remove"}, r"stages\.x\.export 'os\.remove' is not allowed"),
    ],
)
def test_stages_name_stage_modules_and_exports(stage: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_stages({"x": stage})


@pytest.mark.parametrize(
    "override",
    ["model.encoder._target_=torch.load", "stages.prepare.run=os", "stages.policy.export=os.remove",
     "logger._target_=torch.load"],
)  # fmt: skip
def test_such_a_name_is_told_at_composition(override: str) -> None:
    register_schema()
    with pytest.raises(UserError, match="is not allowed"):
        check_composition([override])


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"PhonePhoto has no setting 'exposur'\. Did you mean 'exposure'\?"):
        build({**PHOTO, "exposur": 1.0})
    with pytest.raises(UserError, match="Did you mean 'occlusion_share'"):
        build(PHOTO, occlusionshare=0.1)


def test_an_argument_of_something_that_takes_none_is_refused() -> None:
    with pytest.raises(UserError, match="strength"):
        build({"_target_": "skufp.actions.identity.Identity", "strength": 2})


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("skufp.models.aggregators.attention.Atention", "skufp.models.aggregators.attention.Attention"),
        ("skufp.models.agregators.pooling.Mean", "skufp.models.aggregators.pooling.Mean"),
        ("skufp.actions.SmartCrop", "skufp.actions.smart_crop.SmartCrop"),
        ("pytorch_lightning.loggers.CSVLoger", "pytorch_lightning.loggers.CSVLogger"),
    ],
)
def test_an_unknown_name_names_the_nearest(target: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"'{re.escape(target)}' is not allowed\. Did you mean '{re.escape(near)}'\?"):
        build({"_target_": target, "dim": 4})


def test_nested_specs_are_built_first_in_lists_too() -> None:
    built = build({"_target_": "skufp.data.augment.PhonePhoto", "warp": PHOTO,
                   "gamma": {"deep": {"p": PHOTO}, "plain": {"a": 1}, "all": [PHOTO, 2]}})  # fmt: skip
    photo = PhonePhoto(cast=0.5)
    assert built.warp == photo
    assert built.gamma == {"deep": {"p": photo}, "plain": {"a": 1}, "all": [photo, 2]}
    kept = build({"_target_": "skufp.data.augment.PhonePhoto", "warp": PHOTO, "_recursive_": False})
    assert kept.warp == PHOTO


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
        ({"_target_": "skufp.models.nowhere.X"}, r"'skufp\.models\.nowhere\.X' is not allowed"),
        ({"_target_": "skufp.nowhere.at.all.X"}, "is not allowed"),
    ],
)
def test_check_targets_reads_signatures_from_the_source(node: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_targets(node)


def test_check_targets_lets_right_ones_pass() -> None:
    check_targets({
        "model": {"encoder": {"_target_": "skufp.models.siglip.SiglipEncoder", "pretrained": "x"}},
        "augmentation": {"_target_": "skufp.data.augment.PhonePhoto", "cast": 0.1},
        "logger": {"_target_": "pytorch_lightning.loggers.CSVLogger"}, "n": [1, None],
        "loss": {"_recursive_": False, "_target_": "skufp.data.augment.PhonePhoto", "warp": 3},
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


@cache
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


TRAINED_ALIKE = [
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
]


@pytest.mark.parametrize("where", [where for _, where in TRAINED_ALIKE])
def test_plain_attention_is_trained_as_the_fingerprint_is(where: str) -> None:
    cfg = _composed(*(override for override, _ in TRAINED_ALIKE))
    found = plain(OmegaConf.select(cfg, f"stages.plain_attention.{where}"))
    assert found == plain(OmegaConf.select(cfg, f"stages.fingerprint.{where}"))
    assert found != plain(OmegaConf.select(_composed(), f"stages.plain_attention.{where}"))
