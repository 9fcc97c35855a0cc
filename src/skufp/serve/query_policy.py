"""The action on a query photo before the search: none, a fixed action, or a policy's choice.

Legend: D dim, F features.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from skufp.actions.quality import FEATURES, quality
from skufp.artifacts.actions import ADAPT
from skufp.artifacts.folder import read_json, write_json
from skufp.errors import UserError, nearest
from skufp.factory import build
from skufp.models.adapter import FILE as ADAPTER
from skufp.models.adapter import Adapter

ABOUT, FILE_OF_ACTION = "policy.json", "weights"  # of models.policy; the one setting of an action that names a file
Edit = Callable[[np.ndarray], np.ndarray]  # RGB [H, W, 3] uint8 in and out


@dataclass(frozen=True)
class Decision:
    """An action, and its predicted gain (utility less price) where it was predicted."""

    action: str
    predicted_gain: float | None = None


class QueryPolicy(Protocol):
    """Chooses one action for a photo: one of ``edits``, or adapt, which moves the embedding by ``adapter``."""

    edits: Mapping[str, Edit]
    adapter: Adapter | None

    def decide(self, embedding: np.ndarray, image: np.ndarray) -> Decision:
        """Return the action for the photo [H, W, 3] uint8 with this embedding [D]."""
        ...


class FixedAction:
    """The same action for every photo, to try it.

    ``specs`` are the image actions, ``adapter`` the actions stage's or None. Raises UserError for an unknown action.
    """

    def __init__(self, action: str, specs: Mapping[str, Any], adapter: Adapter | None = None) -> None:
        check_action(action, specs)
        if action == ADAPT and adapter is None:
            raise UserError("policy.action=adapt is learnt by stage=actions, which is not among this run's inputs")
        self.action = action
        self.adapter: Adapter | None = adapter
        self.edits: Mapping[str, Edit] = {action: build(specs[action])} if action != ADAPT else {}

    def decide(self, embedding: np.ndarray, image: np.ndarray) -> Decision:
        """Return the action."""
        return Decision(self.action)


class LearntPolicy:
    """The policy of stage=policy, with the adapter of its labels.

    Raises UserError where ``encoder``, the hash of the encoder in use, differs from that of its training.
    """

    def __init__(self, folder: Path, adapter: Adapter, encoder: str) -> None:
        from skufp.models.policy import load_policy

        self.network = load_policy(folder)
        self.adapter: Adapter | None = adapter
        self.network.check(encoder=encoder, features=FEATURES)
        self.edits: Mapping[str, Edit] = {
            name: build(_with_files(spec, folder)) for name, spec in self.network.specs.items()
        }

    @classmethod
    def load(cls, folder: Path, adapter: Path, encoder: Path) -> "LearntPolicy":
        """Load the policy in ``folder`` for the saved ``encoder``; ``adapter`` is the folder of its adapter."""
        from skufp.modules.encoder_folder import encoder_marks

        return cls(folder, Adapter.load(adapter), encoder_marks(encoder)["fingerprint"])

    def decide(self, embedding: np.ndarray, image: np.ndarray) -> Decision:
        """Return the action of the largest predicted gain if that exceeds the threshold, else identity."""
        return self.choose(embedding, quality(image))

    def choose(self, embedding: np.ndarray, features: np.ndarray) -> Decision:
        """As decide, by the photo's features [F]."""
        import torch

        seen = torch.from_numpy(embedding)[None], torch.from_numpy(features)[None]
        with torch.inference_mode():
            number = int(self.network.decide(*seen))
            gain = float(self.network.gains(*seen)[0, number]) if number else 0.0
        return Decision(self.network.actions[number], gain)


def check_action(action: str, specs: Mapping[str, Any]) -> None:
    """Refuse an action that is neither one of ``specs`` nor adapt."""
    if action not in (names := [*specs, ADAPT]):
        raise UserError(f"policy.action={action}: there is no such action.{nearest(action, names)}")


def copy_policy(policy: Path, actions: Path, out: Path) -> None:
    """Copy the policy of stage=policy, with its adapter and the files that its actions name, into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    about = read_json(policy / ABOUT)
    for name, spec in about["specs"].items():
        if spec.get(FILE_OF_ACTION):
            source = Path(spec[FILE_OF_ACTION])
            spec[FILE_OF_ACTION] = f"{name}-{source.name}"
            shutil.copyfile(source, out / spec[FILE_OF_ACTION])
    for file in sorted(policy.glob("policy.*")):
        shutil.copyfile(file, out / file.name)
    write_json(out / ABOUT, about)
    shutil.copyfile(actions / ADAPTER, out / ADAPTER)


def _with_files(spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the settings of an action with the path of its file, if that is in the policy's own ``folder``."""
    name = spec.get(FILE_OF_ACTION)
    return {**spec, FILE_OF_ACTION: str(folder / name)} if name and (folder / name).is_file() else spec
