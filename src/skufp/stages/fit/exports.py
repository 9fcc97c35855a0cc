"""The artefacts of training stages besides a checkpoint."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from skufp.artifacts.vectors import VectorTable

SKU_COLUMNS = ("split", "sku_id", "pair_id", "style", "category_id", "category_name")


def save_encoder(module: Any, data: Any, out: Path) -> None:
    """Write the retriever's encoder as a `save_pretrained` folder, `encoder/`."""
    from skufp.modules.encoder_folder import save_encoder as save

    save(module.encoder, out / "encoder")


@torch.no_grad()
def save_fingerprints(module: Any, data: Any, out: Path) -> None:
    """Write the fingerprint of every SKU of every split: fingerprints.npy and skus.parquet.

    The table counts the real ``views`` and the ``generated`` views of each fingerprint.
    """
    import numpy as np

    vectors, rows = [], []
    for split in data.splits:
        for batch in data.all_skus(split):
            arguments = [batch[name].to(module.device) for name in ("views", "mask", "meta")]
            vectors.append(module(*arguments).float().cpu().numpy())
            for meta in batch["sku_meta"]:
                counts = {"views": meta["generated"].count(0), "generated": meta["generated"].count(1)}
                rows.append({c: meta[c] for c in SKU_COLUMNS} | counts)
    VectorTable(np.concatenate(vectors), pa.Table.from_pylist(rows)).save(out, "fingerprints.npy", "skus.parquet")


def save_policy(module: Any, data: Any, out: Path) -> None:
    """Write the query action policy: policy.json and policy.safetensors."""
    module.network.save(out)
