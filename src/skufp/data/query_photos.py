"""The photos that a command line gives with --image."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from skufp.errors import UserError


def check_photos(cfg: DictConfig) -> None:
    """Refuse a path that is no file."""
    for path in cfg.query.image:
        if not Path(path).is_file():
            raise UserError(f"--image {path}: there is no such file (looked in {Path.cwd()})")


def open_photos(cfg: DictConfig) -> list[Any]:
    """Return the RGB photos of ``query.image``; UserError for a file that is none."""
    from skufp.data.decode import UnreadableImageError, open_image

    photos = []
    for path in cfg.query.image:
        try:
            photos.append(open_image(Path(path)))
        except UnreadableImageError as error:
            raise UserError(f"--image {error}. Give a photo (JPEG, PNG, WebP, …)") from error
    return photos
