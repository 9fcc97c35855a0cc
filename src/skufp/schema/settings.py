"""Settings whose names the schema leaves free: a stage's own, a class and its arguments, a logger."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class Settings(dict[str, Any]):
        """A mapping of settings by name, also read as attributes: ``cfg.stages.embed.tta``.

        For the type checker only. At run time OmegaConf reads the schema's ``dict[str, Any]`` and returns its own
        mapping, which allows both. Only here a configuration is untyped.
        """

        def __getattr__(self, name: str) -> Any: ...
else:
    Settings = dict[str, Any]
