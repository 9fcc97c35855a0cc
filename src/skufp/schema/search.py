"""What is searched: photos, the index that holds them, and what is looked for."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class Data:
    """Where photos come from and how they become crops, splits and shards.

    ``name`` is the choice (data=folder), ``label`` what folders, reports and tables call the data itself.
    """

    name: str = MISSING
    label: str = "${data_label:${data.root},${data.manifest},${data.name}}"
    root: str | None = None
    manifest: str | None = None
    source: dict[str, Any] = MISSING
    splits: list[str] = field(default_factory=lambda: ["train", "validation", "test"])
    gallery: list[str] = field(default_factory=lambda: ["validation"])
    queries: str = "validation"
    sku_key: str = "pair_style_category"
    only_pairs: bool = False
    dev_share: float = 0.1
    held_out_share: float = 0.3
    margin: float = 0.0
    max_side: int = 640
    shard_size: int = 1000
    export_to: str | None = None
    text: str = "template"  # which text the retriever learns from: template | attributes


@dataclass
class Index:
    """The FAISS index that answers queries: which vectors it holds, in which form, and how many of their dimensions."""

    name: str = MISSING
    kind: str = MISSING
    vectors: str = "fingerprint"
    dims: int | None = None


@dataclass
class Query:
    """What `stage=search` looks for."""

    image: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    top_k: int = 5
    filter: dict[str, Any] = field(default_factory=dict)
