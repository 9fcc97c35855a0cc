"""The Python files and data files of a checkout that a stage's result depends on.

They are found in source text: skufp is not imported. A stage reaches

- ``run()`` of the module that its YAML in conf/stages names (``check``, ``show`` and ``lay_out`` do not change the
  result), and every class and function that the YAML names;
- the names that these use: a file counts if one of its names is used. Imports inside functions are followed, imports
  under ``if TYPE_CHECKING`` are not;
- every choice of the settings that the YAML refers to (``${model.encoder}``, or a line of ``uses``) and of those that
  the code reads (``cfg.views.generator``): all classes that conf/<group>/*.yaml and the schema's defaults name there;
- package data: a file with the same stem as a module, and files and folders beside it that it names in a path.

Comments, docstrings and layout do not count. Settings do not count either: they are in the stage's key.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from source_text import SourceText, Uses, digest, is_name, read_source

PACKAGE = "skufp"
# Files that choose, check, announce and log, but compute nothing. The rest of the package counts.
MACHINERY = {
    "src/skufp/__init__.py": "imports public names on first use",
    "src/skufp/__main__.py": "composes the settings; they are in the key",
    "src/skufp/arguments.py": "turns flags into settings",
    "src/skufp/artifacts/file_names.py": "finds the files of a key",
    "src/skufp/artifacts/ledger.py": "hashes the files of a key",
    "src/skufp/callbacks/wandb_evaluation.py": "logs an evaluation",
    "src/skufp/composition.py": "composes and checks settings; they are in the key",
    "src/skufp/compute/fit_processes.py": "starts processes; their number changes no result",
    "src/skufp/compute/parts.py": "maps work over parts; the number of workers changes no result",
    "src/skufp/compute/progress.py": "progress bars and process counts",
    "src/skufp/config.py": "checks settings and builds the objects that they name",
    "src/skufp/errors.py": "messages",
    "src/skufp/factory.py": "builds the objects that settings and saved folders name",
    "src/skufp/output.py": "prints",
    "src/skufp/outside.py": "makes keys of files",
    "src/skufp/pipeline.py": "plans and runs the stages",
    "src/skufp/py.typed": "tells type checkers that the package has types",
    "src/skufp/recipe.py": "runs stages from Python",
    "src/skufp/reports/model_card.md.j2": "words of the model card",
    "src/skufp/reports/model_card.py": "describes a trained model",
    "src/skufp/reports/wandb_runs.py": "names of logged runs",
    "src/skufp/resolve.py": "decides settings; they are in the key",
    "src/skufp/schema/__init__.py": "declares settings; they are in the key",
    "src/skufp/serve/copying.py": "copies a finished bundle",
    "src/skufp/serve/similar.py": "answers Python programs, no stage",
    "src/skufp/shipped.py": "finds conf/",
    "src/skufp/stages/fit/process.py": "starts a process that takes part in a fit",
    "src/skufp/targets.py": "lists the names that may be built",
    "src/skufp/version.py": "the package's version",
}
# Code that builds the objects that a file of an earlier stage names: the settings that the file was written from.
FROM_DISK = {
    ("src/skufp/modules/encoder_folder.py", "load_encoder"): ("model.encoder", "judge.encoder"),
    ("src/skufp/generation/dit.py", "DiTViews"): ("augmenter.latents",),
    ("src/skufp/serve/query_policy.py", "LearntPolicy"): ("actions.actions",),
}
EVERYTHING = "*"  # all names of a module
_TARGET = re.compile(rf"{PACKAGE}(\.\w+)+")
_REFERENCE = re.compile(r"\$\{([a-z_]+(?:\.\w+)*)\}")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Place = tuple[Path, str]  # a file, and a name in it


class StageCode:
    """The code of every stage under ``root``, a checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf = {path.relative_to(root / "conf"): read_yaml(path) for path in sorted(root.glob("conf/*/*.yaml"))}
        self.stages = {path.stem: spec for path, spec in self.conf.items() if path.parts[0] == "stages"}
        self._sources: dict[Path, SourceText] = {}
        self._digests: dict[Path, str] = {}
        self._data: dict[Path, list[Path]] = {}
        self._files: dict[str, Path | None] = {}
        self._moved = self._moved_names()

    def module_of(self, stage: str) -> str:
        """Return the module that the stage's YAML runs."""
        return str(self.stages[stage]["run"])

    def version(self, stage: str) -> list[int]:
        """Return the module's VERSION, followed by ``version`` of the stage's own YAML if it has one."""
        path = self._file(self.module_of(stage))
        for node in self._source(path).tree.body if path else []:
            if isinstance(node, ast.Assign) and is_name(node.targets[0], "VERSION"):
                own = self.stages[stage].get("version")
                return [int(ast.literal_eval(node.value)), *([] if own is None else [int(own)])]
        raise ValueError(f"{self.module_of(stage)} has no line VERSION = <number>")

    def files(self, stage: str) -> dict[str, str]:
        """Return the hash of every file that the stage's result depends on, by its path in the checkout."""
        return {self._name(path): self._digest(path) for path in sorted(self._reach(stage))}

    def _reach(self, stage: str) -> set[Path]:
        seen: set[Place] = set()
        asked: set[str] = set()
        waiting = [
            (path, "run" if name == EVERYTHING else name) for path, name in self._named(self.stages[stage], asked)
        ]
        waiting += self._chosen(self.stages[stage]["uses"], asked)
        while waiting:
            path, name = place = waiting.pop()
            if place not in seen and self._name(path) not in MACHINERY:
                seen.add(place)
                waiting += self._followed(path, name, asked) if path.suffix == ".py" else []
        return {path for path, _ in seen}

    def _followed(self, path: Path, name: str, asked: set[str]) -> Iterator[Place]:
        """Yield the places that a name's code uses, and those that statements without a name in its file use."""
        source = self._source(path)
        if name in source.imports:
            yield from self._imported([source.imports[name]])
        parts = list(source.parts.values()) if name == EVERYTHING else [source.parts.get(name, Uses())]
        for uses in (*parts, source.loose):
            for used in uses.names:
                if used in source.parts:
                    yield path, used
                elif used in source.imports:
                    yield from self._imported([source.imports[used]])
            yield from self._imported(uses.imports)
            yield from self._targets(uses.strings)
            yield from self._chosen(uses.settings, asked)
            yield from self._data_beside(path, uses.paths)
        yield from self._chosen(FROM_DISK.get((self._name(path), name), ()), asked)

    def _imported(self, imports: Iterable[tuple[str, str]]) -> Iterator[Place]:
        for base, name in imports:
            if base.split(".")[0] == PACKAGE:
                if (module := self._file(f"{base}.{name}" if name else base)) is not None:
                    yield module, EVERYTHING
                elif (module := self._file(base)) is not None:
                    yield module, name

    def _named(self, node: Any, asked: set[str]) -> Iterator[Place]:
        """Yield the places that a part of the configuration names, directly or by references to settings."""
        for text in texts(node):
            yield from self._targets([text])
            yield from self._chosen(_REFERENCE.findall(text), asked)

    def _chosen(self, settings: Iterable[str], asked: set[str]) -> Iterator[Place]:
        """Yield the places that every choice of some settings names, e.g. all encoders for "model.encoder"."""
        for setting in sorted(set(settings) - asked - {"stages", "logger"}):
            asked.add(setting)
            group, *keys = setting.split(".")
            if group == "stages":
                yield from self._named(at(self.stages.get(keys[0], {}), keys[1:]), asked)
                continue
            for choice in self._choices(group):
                yield from self._named(at(choice, keys), asked)
            yield from self._schema_defaults(group, keys)
            if group == "vocabulary":
                yield from ((path, "") for path in sorted(self.root.glob("conf/vocabulary/*.lists.yml")))

    def _choices(self, group: str) -> Iterator[Any]:
        """Yield every choice of a group, and the choices of other groups that it includes (``/model@_here_: lite``)."""
        for path, choice in self.conf.items():
            if path.parts[0] == group:
                yield choice
                for base in choice.get("defaults", []):
                    for other, name in base.items() if isinstance(base, dict) else ():
                        if other.startswith("/") and other.endswith("@_here_"):
                            yield self.conf[Path(other[1:].partition("@")[0], f"{name}.yaml")]

    def _schema_defaults(self, group: str, keys: list[str]) -> Iterator[Place]:
        """Yield the classes in the schema's defaults of settings that the YAML of a group leaves out."""
        for path in sorted((self.root / "src" / PACKAGE / "schema").glob("*.py")):
            for node in self._source(path).tree.body:
                if isinstance(node, ast.ClassDef) and node.name.lower() == group:
                    fields = [f for f in node.body if isinstance(f, ast.AnnAssign) and f.value]
                    for one in fields:
                        if not keys or is_name(one.target, keys[0]):
                            found = [n.value for n in ast.walk(one) if isinstance(n, ast.Constant)]
                            yield from self._targets(text for text in found if isinstance(text, str))

    def _targets(self, strings: Iterable[str]) -> Iterator[Place]:
        for text in strings:
            if _TARGET.fullmatch(text):
                module, _, name = self._moved.get(text, text).rpartition(".")
                yield from self._imported([(module, name)])

    def _moved_names(self) -> dict[str, str]:
        """Return the table MOVED of the package: registered names and their present places."""
        for node in self._source(self.root / "src" / PACKAGE / "targets.py").tree.body:
            if isinstance(node, ast.Assign) and is_name(node.targets[0], "MOVED"):
                return dict(ast.literal_eval(node.value))
        return {}

    def _data_beside(self, path: Path, names: set[str]) -> Iterator[Place]:
        for other in self._siblings(path.parent):
            if other.name.partition(".")[0] == path.stem or other.name in names:
                yield from (
                    ((p, "") for p in sorted(other.rglob("*")) if p.is_file()) if other.is_dir() else [(other, "")]
                )

    def _siblings(self, folder: Path) -> list[Path]:
        """Return the data files and data folders of a package."""
        if folder not in self._data:
            others = [p for p in sorted(folder.iterdir()) if p.suffix != ".py" and p.name != "__pycache__"]
            self._data[folder] = [p for p in others if not (p.is_dir() and any(p.rglob("*.py")))]
        return self._data[folder]

    def _file(self, module: str) -> Path | None:
        if module not in self._files:
            base = self.root / "src" / Path(*module.split("."))
            choices = (base.with_suffix(".py"), base / "__init__.py")
            self._files[module] = next((p for p in choices if p.is_file()), None)
        return self._files[module]

    def _source(self, path: Path) -> SourceText:
        if path not in self._sources:
            package = path.relative_to(self.root / "src").parent.parts
            self._sources[path] = read_source(path.read_bytes(), package)
        return self._sources[path]

    def _digest(self, path: Path) -> str:
        """Return a hash of a file's content without comments in Python, YAML and TOML."""
        if path not in self._digests:
            if path.suffix == ".py":
                self._digests[path] = self._source(path).digest
            elif path.suffix == ".yml":
                self._digests[path] = digest(json.dumps(read_yaml(path), default=str))
            elif path.suffix == ".toml":
                self._digests[path] = digest(json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), default=str))
            else:
                self._digests[path] = digest(path.read_text(encoding="utf-8"))
        return self._digests[path]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def at(node: Any, keys: list[str]) -> Any:
    """Return the value under ``keys``; a reference is returned in place of the section that it refers to."""
    for key in keys:
        if isinstance(node, str):
            return node
        node = node.get(key, {}) if isinstance(node, dict) else {}
    return node


def texts(node: Any) -> Iterator[str]:
    """Yield all strings of a part of the configuration."""
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data."""
    return yaml.load(path.read_text(encoding="utf-8"), _LOADER) or {}
