"""Is the trained aggregator better than its start? Asked of queries that neither of them learnt from.

A small catalogue makes some checkpoint look better by luck. The start, e.g. the mean of views, is therefore kept unless
the gain in reciprocal rank exceeds its standard error over SKUs, on dev queries together with the train queries that
were left out by cross-fitting: ``folds`` further fits, each without the queries of a fold of pairs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.artifacts.folder import write_json

BLOCK = 1024  # queries ranked at a time
Evidence = tuple[np.ndarray, list[str]]  # gains [Q] and their SKUs


def is_proven(cfg: DictConfig, inputs: dict[str, str], start: Any, trained: Any, data: Any, out: Path) -> bool:
    """Return whether ``trained`` is to be kept, and write the evidence to proof.json."""
    from skufp.retrieval.bootstrap import standard_error

    evidence = [gains(start, trained, data, "dev", lambda pair, pool: True)]
    evidence += [cross_fitted(cfg, inputs, start, fold) for fold in range(cfg.stages[cfg.stage].folds)]
    values = np.concatenate([g for g, _ in evidence])
    skus = [sku for _, own in evidence for sku in own]
    gain, error = (float(values.mean()), standard_error(values, np.array(skus))) if len(values) else (0.0, 0.0)
    proven = gain > error * (1 + 1e-9)  # one SKU that gains among many that stay gives a gain of just one error
    proof = {"queries": len(values), "skus": len(set(skus)), "gain": gain, "standard_error": error}
    write_json(out / "proof.json", proof | {"trained_is_kept": proven})
    if not proven:
        print(f"the start is kept: training changed the reciprocal rank of {len(values)} queries by {gain:+.3f}"
              f" (standard error {error:.3f}), which proves no gain")  # fmt: skip
    return proven


def cross_fitted(cfg: DictConfig, inputs: dict[str, str], start: Any, fold: int) -> Evidence:
    """Train anew without the queries of one fold of pairs; return what that gains on just those queries."""
    from skufp.config import plain

    spec = plain(cfg.stages[cfg.stage])
    module, data = fit_without(cfg, spec, inputs, (fold, spec["folds"]))
    return gains(start, module, data, "train", lambda pair, pool: data.is_left_out(pair) and pool in data.query_pools)


def fit_without(
    cfg: DictConfig, spec: dict[str, Any], inputs: dict[str, str], left_out: tuple[int, int]
) -> tuple[Any, Any]:
    """Train a training stage's ``spec`` anew without the queries of a fold of pairs, ``left_out`` (fold, folds).

    Return the module with its last weights, and its data; ``inputs`` are the folders that the stage reads.
    """
    import pytorch_lightning as pl

    from skufp.config import build
    from skufp.modules.optimiser import raise_if_diverged

    data = build(spec["datamodule"], inputs=inputs, steps=spec["steps"], left_out=left_out)
    pl.seed_everything(spec["seed"], verbose=False)
    module = build(spec["module"], steps=spec["steps"], **data.module_arguments())
    trainer = pl.Trainer(
        accelerator=cfg.trainer.accelerator, devices=1, precision=cfg.trainer.precision, max_steps=spec["steps"],
        gradient_clip_val=spec["clip"], logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, limit_val_batches=0,
    )  # fmt: skip
    if data.can_train:
        trainer.fit(module, data)
        raise_if_diverged(module)
    return module, data


def gains(start: Any, trained: Any, data: Any, split: str, asks: Callable[[int, str], bool]) -> Evidence:
    """Return the gain in reciprocal rank of every query that ``asks`` (its pair, its pool), over the split's SKUs."""
    import torch

    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    queries, target, skus = [], [], []
    with torch.inference_mode():
        for batch in data.all_skus(split) if split in data.splits else []:
            for module, vectors in ((start, before), (trained, after)):
                arguments = (batch[name].to(module.device) for name in ("views", "mask", "meta"))
                vectors.append(module.eval()(*arguments).float().cpu().numpy())
            own = [(m["pair_id"], pool) for m in batch["sku_meta"] for pool in m["pools"]]
            chosen = [i for i, one in enumerate(own) if asks(*one)]
            number = batch["query_target"].numpy()[chosen]
            queries.append(batch["queries"].numpy()[chosen])
            target.append(number + sum(len(v) for v in before[:-1]))
            skus += [f"{split}/{batch['sku_id'][i]}" for i in number]
    if not skus:
        return np.zeros(0), []
    asked, right = np.concatenate(queries), np.concatenate(target)
    first, second = (reciprocal_ranks(asked, np.concatenate(v), right) for v in (before, after))
    return second - first, skus


def reciprocal_ranks(queries: np.ndarray, gallery: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return [Q] of each query's own SKU, ranked in blocks."""
    from skufp.retrieval.metrics import ranks_in_blocks

    return 1 / ranks_in_blocks(lambda q: q @ gallery.T, queries, target, BLOCK)
