"""What is searched: photos, the index that holds them, and what is looked for."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from skufp.schema.settings import Settings


@dataclass
class Data:
    """Where photos come from and how they become crops, splits and shards.

    ``name`` is the choice (data=folder), ``label`` what folders, reports and tables call the data itself.
    """

    name: str = MISSING
    label: str = "${data_label:${data.root},${data.manifest},${data.name}}"
    root: str | None = None  # folder of photos, or of the data set
    manifest: str | None = None  # table of products
    source: Settings = MISSING  # what reads the data
    splits: list[str] = field(default_factory=lambda: ["train", "validation", "test"])  # splits to prepare
    gallery: list[str] = field(default_factory=lambda: ["validation"])  # splits whose SKUs are searched
    queries: str = "validation"  # split whose user photos ask in stage=evaluate
    sku_key: str = "pair_style_category"  # data=deepfashion2: pair_style_category, or the official pair_style
    only_pairs: bool = False  # leave out SKUs without a user photo
    dev_share: float = 0.1  # share of train's pairs that become the split dev
    held_out_share: float = 0.3  # share of train's user photos that the retriever does not learn from
    margin: float = 0.0  # border around a box, as a share of its sides
    max_side: int = 640  # pixels: longer crops are shrunk
    shard_size: int = 1000  # samples in a WebDataset shard
    export_to: str | None = None  # stage=prepare: a folder for crops and shards, readable by data=prepared
    text: str = "template"  # which text the retriever learns from: template | attributes


@dataclass
class Index:
    """The FAISS index that answers queries: which vectors it holds, in which form, and how many of their dimensions."""

    name: str = MISSING
    kind: str = MISSING  # faiss index_factory string
    vectors: str = "fingerprint"  # fingerprint: one a SKU; views: every view
    dims: int | None = None  # keep the first dimensions; null: all


@dataclass
class Query:
    """What `stage=search` looks for."""

    image: list[str] = field(default_factory=list)  # photos to look for; --image PATH
    text: list[str] = field(default_factory=list)
    top_k: int = 5  # how many SKUs an answer has
    mode: str | None = None  # how texts find: hybrid, vector or words; null: hybrid where SKUs have words, else vector
    filter: Settings = field(
        default_factory=Settings
    )  # query.filter.<field>=<value>: only SKUs whose field has the value
