"""The hashes of a table's encoder: an index, or any table of vectors, accepts only queries of its own encoder."""

from collections.abc import Mapping
from pathlib import Path

from skufp.artifacts.folder import read_json
from skufp.errors import UserError

MARKS = (("preprocessing", "image preprocessing"), ("fingerprint", "encoder"))


def check_marks(built: Mapping[str, str], encoder: Mapping[str, str], what: Path, remedy: str) -> None:
    """Raise UserError if the marks ``built`` of vectors, named ``what``, differ from those of ``encoder``."""
    for mark, said in MARKS:
        if built.get(mark) != encoder.get(mark):
            raise UserError(
                f"{what} was built with another {said} ({built.get(mark)}, the query's is {encoder.get(mark)}): scores"
                f" would be meaningless. {remedy}"
            )


def check_encoder(index: Path, encoder: Path, remedy: str) -> None:
    """Refuse the vectors in the folder ``index`` for queries of the saved ``encoder``: see check_marks."""
    from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks

    check_marks(read_json(index / INDEX_MARKS), encoder_marks(encoder), index, remedy)
