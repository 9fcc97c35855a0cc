"""The data, the index and the query."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from skufp.schema.settings import Settings


@dataclass
class Data:
    """The source of photos, and the settings for crops, splits and shards.

    ``name`` is the choice (data=folder), ``label`` the data's name in folders, reports and tables.
    """

    name: str = MISSING
    label: str = "${data_label:${data.root},${data.manifest},${data.name}}"
    root: str | None = None  # folder of photos, or of the data set
    manifest: str | None = None  # table of products
    source: Settings = MISSING  # the reader: class and arguments
    splits: list[str] = field(default_factory=lambda: ["train", "validation", "test"])  # splits to prepare
    gallery: list[str] = field(default_factory=lambda: ["validation"])  # splits whose SKUs are searched
    queries: str = "validation"  # split whose user photos are the queries of stage=evaluate
    sku_key: str = "pair_style_category"  # data=deepfashion2: pair_style_category, or the official pair_style
    only_pairs: bool = False  # leave out SKUs without a user photo
    dev_share: float = 0.1  # share of train's pairs that become the split dev
    held_out_share: float = 0.3  # share of train's user photos held out from the retriever's training
    margin: float = 0.0  # border around a box, as a share of its sides
    max_side: int = 640  # pixels: longer crops are shrunk
    shard_size: int = 1000  # samples in a WebDataset shard
    export_to: str | None = None  # stage=prepare: a folder for crops and shards, readable by data=prepared
    text: str = "template"  # text for the retriever's training: template | attributes


@dataclass
class Index:
    """The FAISS index: its vectors, their form, and their number of dimensions."""

    name: str = MISSING
    kind: str = MISSING  # faiss index_factory string
    vectors: str = "fingerprint"  # fingerprint: one per SKU; views: every view
    dims: int | None = None  # keep the first dimensions; null: all


@dataclass
class Query:
    """The query of `stage=search`."""

    image: list[str] = field(default_factory=list)  # photos to look for; --image PATH
    text: list[str] = field(default_factory=list)
    top_k: int = 5  # number of SKUs to return
    mode: str | None = None  # search by text: hybrid, vector or words; null: hybrid if SKUs have words, else vector
    filter: Settings = field(
        default_factory=Settings
    )  # query.filter.<field>=<value>: only SKUs whose field has the value
