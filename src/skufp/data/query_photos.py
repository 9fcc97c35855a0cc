"""The photos that a command line gives with --image."""

from pathlib import Path
from typing import Any

from skufp.errors import UserError
from skufp.schema import Config


def check_photos(cfg: Config) -> None:
    """Raise UserError for a path that is not a file."""
    for path in cfg.query.image:
        if not Path(path).is_file():
            raise UserError(f"--image {path}: there is no such file (looked in {Path.cwd()})")


def open_photos(cfg: Config) -> list[Any]:
    """Return the RGB photos of ``query.image``; UserError for a file that is not a photo."""
    from skufp.data.decode import UnreadableImageError, open_image

    photos = []
    for path in cfg.query.image:
        try:
            photos.append(open_image(Path(path)))
        except UnreadableImageError as error:
            raise UserError(f"--image {error}. Give a photo (JPEG, PNG, WebP, …)") from error
    return photos
