"""The model card of a training stage: the model, its training data, its results, and how to load it.

The text is model_card.md.j2; values come from the stage's settings and from the files in its folder.
"""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skufp.artifacts.folder import read_json
from skufp.config import plain
from skufp.schema import Config
from skufp.version import __version__

FILE = "model_card.md"
KINDS = {"Retriever": "encoder", "Fingerprint": "aggregator", "Policy": "policy", "Augmenter": "generator"}
KEPT = {
    "last": "those of the last step",
    "best": "those with the highest MRR of dev queries",
    "proven": "those of the last step if they are proven better than the start, else the start's",
}
MARKDOWN = re.compile(r"([\\`*\[\]|~#!:@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=www)\.)")


def write_model_card(cfg: Config, folder: Path) -> None:
    """Write model_card.md into the ``folder`` of the training stage ``cfg.stage``, which holds its metrics.json."""
    (folder / FILE).write_text(model_card(cfg, folder), encoding="utf-8")


def model_card(cfg: Config, folder: Path) -> str:
    """Return the card as Markdown. Values are escaped: no name or setting can add markup, a link or a line."""
    import jinja2

    template = Path(__file__).with_suffix(".md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(  # no HTML escaping: values are escaped for Markdown, HTML included
        autoescape=False, finalize=inert, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    text = environment.from_string(template).render(content(cfg, folder))
    return re.sub(r"\n{3,}", "\n\n", text)


def content(cfg: Config, folder: Path) -> dict[str, Any]:
    """Return the template's values."""
    spec = plain(cfg.stages[cfg.stage])
    kind = KINDS[spec["module"]["_target_"].rpartition(".")[2]]
    report = read_json(folder / "metrics.json")
    proof = read_json(folder / "proof.json") if (folder / "proof.json").exists() else None
    share = report.get("wise_ft", {}).get("alpha")
    return {
        "stage": cfg.stage, "label": cfg.data.label, "data": cfg.data.name, "version": __version__,
        "seed": spec["seed"], "trained": kind, "choices": choices(cfg, kind, spec["module"]),
        "start": start(spec["module"], kind), "steps": report["steps"], "kept": KEPT[spec["keep"]],
        "alpha": share, "proof": proof,
        "metrics": {key: value for key, value in report.items() if key not in ("steps", "wise_ft")},
    }  # fmt: skip


def choices(cfg: Config, kind: str, module: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the choices that this stage depends on; values in its ``module`` take precedence."""
    if cfg.stage == "judge":
        return {"model": cfg.judge.name}
    if kind == "aggregator":
        own = {"aggregator": module["aggregator"]["_target_"].rpartition(".")[2], "loss": module["loss"]["name"]}
        return {"model": cfg.model.name} | own
    also = {"policy": ("aggregator", "actions"), "generator": ("augmenter",)}
    return {name: getattr(cfg, name).name for name in ("model", *also.get(kind, ()))}


def start(module: Mapping[str, Any], kind: str) -> str:
    """Return the initial weights of training in words."""
    if kind != "encoder":
        return "random weights"
    encoder = module["encoder"]
    if pretrained := encoder.get("pretrained"):
        return f"the weights of {pretrained}"
    if encoder["_target_"].endswith(".LiteEncoder"):
        return "pretrained EfficientNet-Lite0 and all-MiniLM-L6-v2; their heads are fitted to the data"
    return f"random weights ({encoder['_target_'].rpartition('.')[2]})"


def inert(value: Any) -> str:
    """Return ``value`` as text on one line with Markdown and HTML escaped; floats with four digits."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return html.escape(MARKDOWN.sub(r"\\\1", text), quote=False)
