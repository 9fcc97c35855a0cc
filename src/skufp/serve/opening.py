"""Opening the folder of a bundle, with checks before the first search."""

import json
from pathlib import Path

from skufp.artifacts.part_list import FILE, PartList
from skufp.errors import UserError
from skufp.serve.bundle_parts import AGAIN, BundleParts
from skufp.serve.marks import check_encoder, check_marks
from skufp.serve.parts import KINDS, NEEDED, OF_ENCODER, MissingPartError


def open_parts(folder: Path, verify: bool = False) -> BundleParts:
    """Open the folder of a bundle; UserError if it is damaged, too new, or has parts of two encoders.

    The size of every file is checked, and with ``verify`` its content too, which reads everything once.
    """
    listed = PartList.read(folder)
    for name, part in listed.parts.items():
        if name in KINDS and part.version > KINDS[name].version:
            raise UserError(
                f"{folder}: the part '{name}' has format {part.format} {part.version}, and this skufp reads"
                f" {KINDS[name].format} {KINDS[name].version}. Update it: pip install --upgrade skufp"
            )
    for name in NEEDED:
        if name not in listed.parts:
            raise MissingPartError(folder, name, KINDS[name].command)
    listed.check(folder, verify)
    parts = BundleParts(folder, frozenset(listed.parts), listed.about)
    try:
        _check_encoders(parts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        listed.check(folder, verify=True)  # names the file that has changed
        raise UserError(f"{folder}: the marks of its encoder cannot be read ({error}). {AGAIN}") from error
    return parts


def _check_encoders(parts: BundleParts) -> None:
    """Refuse vectors, and a policy, that were made with another encoder than the one in the bundle."""
    if "encoder" not in parts.names:
        return
    from skufp.modules.encoder_folder import encoder_marks

    encoder = parts.path("encoder")
    for name in OF_ENCODER:
        if name in parts.names:
            check_encoder(parts.path(name), encoder, AGAIN)
    if "policy" in parts.names:
        from skufp.serve.query_policy import ABOUT

        built = json.loads((parts.path("policy") / ABOUT).read_text(encoding="utf-8"))["encoder"]
        marks = encoder_marks(encoder)
        check_marks({**marks, "fingerprint": built}, marks, parts.path("policy"), AGAIN)


def is_bundle(folder: Path) -> bool:
    """Return whether ``folder`` has a bundle.json."""
    return (folder / FILE).is_file()
