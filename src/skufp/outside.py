"""Fingerprints of the files that a stage reads from outside the runs: by name and content, not by location."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from skufp.artifacts.file_names import files_under
from skufp.artifacts.ledger import Ledger
from skufp.config import build, plain, setting
from skufp.output import PlainConsole
from skufp.schema import Config

MARK = "<outside>"
LEDGER = "ledger.sqlite"
LONG = 1 << 30  # bytes from which hashing is announced: it takes seconds to a minute


@dataclass
class Outside:
    """The files that settings of ``cfg`` name, hashed through one ledger; results are cached for this plan."""

    cfg: Config
    ledger: Ledger
    prints: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cfg: Config) -> "Outside":
        """Return the reader for ``cfg``, with the ledger in its cache folder."""
        cache = setting(cfg, "cache")
        return cls(cfg, Ledger(Path(cache) / LEDGER if cache else None, _announce))

    def read(self, keys: Iterable[str], settings: Any) -> tuple[dict[str, str], Any]:
        """Return the fingerprint of the files that each setting in ``keys`` names, and ``settings`` without the paths.

        A setting is a path, a list of paths, or the spec of a source, whose files() lists its files. A path that does
        not exist stays in the settings: it may be the name of weights in the hub.
        """
        found: dict[str, str] = {}
        for key in keys:
            value, name = setting(self.cfg, key), key.rpartition(".")[2]
            if OmegaConf.is_dict(value) and "_target_" in value:
                source = build(value)
                found[key] = self._print(key, lambda source=source: source.files(list(self.cfg.data.splits)))
                for place in source.PLACES:
                    settings = without_place(settings, place, plain(value).get(place))
                continue
            for path in _paths(value):
                found[f"{key}:{len(found)}"] = self._print(str(path), lambda path=path: self.files_of(path))
                settings = without_place(settings, name, str(path))
        return found, settings

    def files_of(self, path: Path) -> dict[str, str]:
        """Return a file by its name, or every file under a folder by its name relative to the folder."""
        if not path.is_dir():
            return {path.name: str(path)}
        runs = [place for name in ("runs", "cache") if (place := setting(self.cfg, name))]
        return {name: str(path / name) for name in files_under(path, runs)}

    def _print(self, name: str, files: Any) -> str:
        if name not in self.prints:
            self.prints[name] = fingerprint(files(), self.ledger)
        return self.prints[name]


def fingerprint(files: Mapping[str, str], ledger: Ledger) -> str:
    """Return a hash of names and contents of ``files``, paths by name."""
    hashes = ledger.hashes(files.values())
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashes[files[name]]}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def without_place(settings: Any, name: str, place: Any) -> Any:
    """Replace ``place`` by a mark in every setting called ``name``, alone or in a list."""
    if isinstance(settings, list):
        return [without_place(value, name, place) for value in settings]
    if not isinstance(settings, dict):
        return settings
    return {
        key: _marked(value, place) if str(key).rpartition(".")[2] == name else without_place(value, name, place)
        for key, value in settings.items()
    }


def _marked(value: Any, place: Any) -> Any:
    if isinstance(value, list) and not isinstance(place, list):
        return [_marked(one, place) for one in value]
    same_path = isinstance(value, str) and isinstance(place, str) and bool(value) and Path(value) == Path(place)
    return MARK if value is not None and (value == place or same_path) else value


def _paths(value: Any) -> list[Path]:
    values = list(value) if OmegaConf.is_list(value) else [value]
    return [Path(v) for v in values if v and Path(v).exists()]


def _announce(files: int, size: int) -> None:
    if size >= LONG:
        PlainConsole(stderr=True).print(
            f"hashing {files:,} new or changed files ({size / 1e9:.1f} GB), once", style="dim"
        )
