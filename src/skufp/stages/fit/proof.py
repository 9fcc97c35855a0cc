"""A test of the trained aggregator against its start, on queries that are not in its training set.

In a small catalogue some checkpoint looks better by chance. The start, e.g. the mean of views, is therefore kept unless
a one-sided test proves a gain in reciprocal rank: of aggregators without a true gain at most a share
``false_positive_rate`` is kept. The evidence is the dev queries and the train queries left out by cross-fitting:
``folds`` further fits, each without the queries of a fold of pairs.

The unit of the test is the pair: SKUs of one pair (colours of one design) compete in the ranking, and folds leave out
pairs. The test is of the training: the mean gain of the fit that would be kept (on dev) and of the folds' fits, which
had fewer training queries. Two things make the test conservative. A left-out query is ranked among train SKUs that were
trained on their own queries, and may have moved towards all queries. And if the retriever's weights were selected on
these queries (retriever_mix.py), they were selected for the mean of views, i.e. the start.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from skufp.artifacts.folder import write_json
from skufp.schema import Config
from skufp.stages.fit.training_stage import TrainingStage

BLOCK = 1024  # queries ranked at a time


class Evidence(NamedTuple):
    """Queries of ``skus`` in ``pairs``: their ``gains`` [Q] in reciprocal rank, from ``before`` [Q]."""

    gains: np.ndarray
    skus: list[str]
    before: np.ndarray
    pairs: list[str]

    @classmethod
    def joined(cls, parts: "list[Evidence]") -> "Evidence":
        """Return the queries of all ``parts``."""
        gains, skus, before, pairs = zip(*parts, strict=True)
        return cls(np.concatenate(gains), [s for own in skus for s in own], np.concatenate(before),
                   [p for own in pairs for p in own])  # fmt: skip


class Proof(TypedDict):
    """proof.json: the test of the trained aggregator."""

    queries: int
    skus: int
    pairs: int
    gain: float  # mean, in reciprocal rank
    standard_error: float  # over pairs
    p: float  # p-value of the gain
    false_positive_rate: float
    trained_is_kept: bool


def is_proven(cfg: Config, inputs: dict[str, str], start: Any, trained: Any, data: Any, out: Path) -> bool:
    """Return whether to keep ``trained``, and write the evidence to proof.json."""
    spec = cfg.stages[cfg.stage]
    evidence = [gains(start, trained, data, "dev", lambda pair, pool: True)]
    evidence += [cross_fitted(cfg, inputs, start, fold) for fold in range(spec.folds)]
    proof = tested(Evidence.joined(evidence), spec.false_positive_rate)
    write_json(out / "proof.json", proof)
    if not proof["trained_is_kept"]:
        print(f"the start is kept: training changed the reciprocal rank of {proof['queries']} queries by"
              f" {proof['gain']:+.3f} (standard error {proof['standard_error']:.3f}, p = {proof['p']:.3f}), which"
              f" proves no gain at a false-positive rate of {proof['false_positive_rate']:g}")  # fmt: skip
    return bool(proof["trained_is_kept"])


def tested(evidence: Evidence, false_positive_rate: float) -> Proof:
    """Return the proof."""
    from skufp.retrieval.bootstrap import standard_error
    from skufp.retrieval.sign_flip import proof_p

    values, skus, before, pairs = evidence
    gain, error, p = 0.0, 0.0, 1.0
    if len(values):
        group = np.array(pairs)
        gain, error, p = float(values.mean()), standard_error(values, group), proof_p(values, before, group)
    return {
        "queries": len(values), "skus": len(set(skus)), "pairs": len(set(pairs)), "gain": gain,
        "standard_error": error, "p": p, "false_positive_rate": false_positive_rate,
        "trained_is_kept": p <= false_positive_rate,
    }  # fmt: skip


def cross_fitted(cfg: Config, inputs: dict[str, str], start: Any, fold: int) -> Evidence:
    """Train again without the queries of one fold of pairs; return the gain on those queries."""
    from skufp.config import plain

    spec: TrainingStage = plain(cfg.stages[cfg.stage])
    module, data = fit_without(cfg, spec, inputs, (fold, spec["folds"]))
    return gains(start, module, data, "train", lambda pair, pool: data.is_left_out(pair) and pool in data.query_pools)


def fit_without(cfg: Config, spec: TrainingStage, inputs: dict[str, str], left_out: tuple[int, int]) -> tuple[Any, Any]:
    """Train a training stage's ``spec`` again without the queries of a fold of pairs, ``left_out`` (fold, folds).

    Return the module with its last weights, and its data; ``inputs`` are the folders that the stage reads.
    """
    import pytorch_lightning as pl

    from skufp.config import build
    from skufp.modules.optimiser import raise_if_diverged

    data = build(spec["datamodule"], inputs=inputs, steps=spec["steps"], left_out=left_out)
    pl.seed_everything(spec["seed"], verbose=False)
    module = build(spec["module"], steps=spec["steps"], **data.module_arguments())
    precision: Any = cfg.trainer.precision  # see trainer.py
    trainer = pl.Trainer(
        accelerator=cfg.trainer.accelerator, devices=1, precision=precision, max_steps=spec["steps"],
        gradient_clip_val=spec["clip"], logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, limit_val_batches=0,
    )  # fmt: skip
    if data.can_train:
        trainer.fit(module, data)
        raise_if_diverged(module)
    return module, data


def gains(start: Any, trained: Any, data: Any, split: str, counts: Callable[[int, str], bool]) -> Evidence:
    """Return the gain in reciprocal rank, over the split's SKUs, of every query with ``counts``(its pair, its pool)."""
    import torch

    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    queries, target, skus, pairs = [], [], [], []
    with torch.inference_mode():
        for batch in data.all_skus(split) if split in data.splits else []:
            for module, vectors in ((start, before), (trained, after)):
                arguments = (batch[name].to(module.device) for name in ("views", "mask", "meta"))
                vectors.append(module.eval()(*arguments).float().cpu().numpy())
            own = [(m["pair_id"], pool) for m in batch["sku_meta"] for pool in m["pools"]]
            chosen = [i for i, one in enumerate(own) if counts(*one)]
            number = batch["query_target"].numpy()[chosen]
            queries.append(batch["queries"].numpy()[chosen])
            target.append(number + sum(len(v) for v in before[:-1]))
            skus += [f"{split}/{batch['sku_id'][i]}" for i in number]
            pairs += [f"{split}/{own[i][0]}" for i in chosen]
    if not skus:
        return Evidence(np.zeros(0), [], np.zeros(0), [])
    asked, right = np.concatenate(queries), np.concatenate(target)
    first, second = (reciprocal_ranks(asked, np.concatenate(v), right) for v in (before, after))
    return Evidence(second - first, skus, first, pairs)


def reciprocal_ranks(queries: np.ndarray, gallery: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return [Q] of each query's own SKU, ranked in blocks."""
    from skufp.retrieval.metrics import ranks_in_blocks

    return 1 / ranks_in_blocks(lambda q: q @ gallery.T, queries, target, BLOCK)
