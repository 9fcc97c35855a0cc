"""stage=confidence: what scores say about an answer; a Judge for photos and one for texts, and how good they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.output import warn
from skufp.schema import Config
from skufp.serve.bundle_parts import JUDGES

if TYPE_CHECKING:
    from skufp.retrieval.confidence.asking import Asked
    from skufp.retrieval.confidence.verdict import Judge

VERSION = 1
REPORT = "report.json"


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write confidence.json, the judges by mode; report.json; and calibration.png."""
    from skufp.compute.device import set_threads
    from skufp.reports.confidence import write_plot
    from skufp.retrieval.confidence.asking import ask
    from skufp.retrieval.confidence.verdict import PHOTO
    from skufp.stages.confidence import queries
    from skufp.stages.confidence.galleries import learning_gallery, served_gallery

    set_threads(cfg)
    spec = cfg.stages.confidence
    fingerprints = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    seen = learning_gallery(cfg, fingerprints)
    modes: dict[str, Any] = {}
    reports: dict[str, Any] = {}
    for mode, (known, asked, simulated) in queries.to_learn_from(cfg, inputs, seen).items():
        judge, reports[mode] = learnt(cfg, ask(known, asked), simulated)
        if judge is not None:
            modes[mode] = judge
    served = fingerprints.where(split=list(cfg.data.gallery))
    gallery = served_gallery(inputs, served)
    if cfg.data.queries != spec.queries:  # what calibrated measures nothing
        for mode, asked in queries.queries_of(inputs, served, str(cfg.data.queries)).items():
            if mode in modes:
                reports[mode]["measured"] = measured(cfg, modes[mode], ask(gallery, asked))
    if PHOTO in modes and spec.strangers:
        reports[PHOTO]["strangers"] = queries.strangers(cfg, inputs, gallery, modes[PHOTO])
    write_json(out / JUDGES, {mode: judge.to_dict() for mode, judge in modes.items()})
    about = {"data": str(cfg.data.label), "model": str(cfg.model.name), "index": str(cfg.index.name)}
    write_json(
        out / REPORT, {"run": about, "learnt_from": str(spec.queries), "queries": str(cfg.data.queries)} | reports
    )
    write_plot(out / "calibration.png", reports)


def learnt(cfg: Config, asked: "Asked", simulated: bool) -> "tuple[Judge | None, dict[str, Any]]":
    """Return the judge of one mode and the report of its cross-fitted probabilities; None with too few designs."""
    from skufp.retrieval.confidence.asking import learn, report

    spec = cfg.stages.confidence
    try:
        judge, used, found = learn(asked, spec.accept, spec.prior, spec.folds, spec.seed, simulated)
    except ValueError as error:
        return None, {"skipped": str(error)}
    cross_fitted = report(judge, used, found, None, spec.accept, spec.bootstrap)
    return judge, {"simulated": simulated, "threshold": judge.threshold, "cross_fitted": cross_fitted}


def measured(cfg: Config, judge: "Judge", asked: "Asked") -> dict[str, Any]:
    """Return the report of a judge on queries that it did not learn from."""
    from skufp.retrieval.confidence.asking import judged, report

    spec = cfg.stages.confidence
    no_sku = judge.in_catalogue.probability(asked.no_sku)
    return report(judge, asked, judged(judge, asked), no_sku, spec.accept, spec.bootstrap)


def check(cfg: Config) -> None:
    """Refuse shares that are none, and a folder of strangers that is not there."""
    spec = cfg.stages.confidence
    for name in ("accept", "prior"):
        value = spec[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise UserError(f"stages.confidence.{name}={value}: give a share above 0 and below 1")
    if not isinstance(spec.folds, int) or spec.folds < 2:
        raise UserError(f"stages.confidence.folds={spec.folds}: give 2 or more")
    if spec.strangers and not Path(str(spec.strangers)).is_dir():
        raise UserError(f"stages.confidence.strangers={spec.strangers}: there is no such folder")


def show(cfg: Config, out: Path, console: Console) -> None:
    """Print what the judges are worth."""
    from skufp.reports.confidence import lines

    console.print(*lines(read_json(out / REPORT)), sep="\n", markup=False, highlight=False)
    if not read_json(out / JUDGES):
        warn("no query with a known answer: answers will carry no confidence")
    console.print(f"report: {out / REPORT}", markup=False, highlight=False)
