"""The names of a bundle's parts: their purpose, format, and the command that makes a missing part."""

from dataclasses import dataclass

from skufp.errors import UserError


@dataclass(frozen=True)
class Kind:
    """A kind of part: its ``purpose``, its ``format`` with a ``version``, and the ``command`` that makes it."""

    purpose: str
    format: str
    command: str = "python -m skufp stage=bundle 'stages.bundle.leave_out=[]'"
    version: int = 1


KINDS = {
    "encoder": Kind("photos and new texts as queries", "save_pretrained"),
    "index": Kind("the search itself", "faiss"),
    "skus": Kind("every SKU's id, fields and vector", "parquet+npy"),
    "views": Kind("which view of a SKU is nearest to a query", "parquet+npy"),
    "thumbnails": Kind("a small picture of every view", "jpeg-pack"),
    "aggregator": Kind("a new vector for a SKU whose views change", "safetensors"),
    "words": Kind(
        "the vectors of the catalogue's texts", "parquet+npy",
        "python -m skufp stage=bundle data=catalogue data.manifest=<a table with titles>",
    ),
    "word_index": Kind(
        "the words of SKUs, in which texts are searched for", "npy+json",
        "python -m skufp stage=bundle stages.bundle.attributes=true",
    ),
    "policy": Kind(
        "one action on a query photo where that helps", "safetensors", "python -m skufp stage=bundle policy=default"
    ),
    "confidence": Kind(
        "whether an answer can be trusted", "json", "python -m skufp stage=bundle stages.bundle.confidence=true"
    ),
    "attributes": Kind(
        "attribute readers and their vocabulary", "json", "python -m skufp stage=bundle stages.bundle.attributes=true"
    ),
}  # fmt: skip
NEEDED = ("index", "skus")  # no search without them
OF_ENCODER = ("index", "skus", "views", "words")  # parts that hold vectors of the encoder, with its marks


class MissingPartError(UserError):
    """An operation needs a part that is not in the bundle; the message has the command that makes it."""

    def __init__(self, folder: object, part: str, command: str) -> None:
        purpose = f" ({KINDS[part].purpose})" if part in KINDS else ""
        super().__init__(f"{folder}: the part '{part}'{purpose} is not in this bundle. Make it: {command}")
        self.part, self.command = part, command
