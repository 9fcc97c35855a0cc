"""The pipeline, with fake stages on a temporary path: order, keys, refusal, crashes, locks."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from skufp.artifacts.folder import MANIFEST, Manifest
from skufp.errors import UserError
from skufp.pipeline import Planned, execute, plan, upstream

STAGE = """
VERSION = {version}

def run(cfg, inputs, out):
    with open("{log}", "a") as log:
        log.write("{name}\\n")
    text = "+".join((inputs[n] / "result.txt").read_text() for n in {needs})
    (out / "result.txt").write_text("{name}(" + text + ")")
{body}
"""


class House:
    """Fake stages: photos -> model -> vectors (of both) -> report; their modules and a log of what ran."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "log.txt"
        self.photos = root / "photos"
        self.photos.mkdir()
        (self.photos / "a.jpg").write_text("a")
        self.needs = {"photos": [], "model": ["photos"], "vectors": ["photos", "model"], "report": ["vectors"]}
        self.uses = {"photos": ["data"], "model": ["model.lr", "seed"], "vectors": [], "report": ["top_k"]}
        for name in self.needs:
            self.write(name)

    def write(self, name: str, body: str = "", version: int = 1) -> None:
        source = STAGE.format(name=name, version=version, log=self.log, needs=self.needs[name], body=body)
        (self.root / f"fake_{name}.py").write_text(source)
        sys.modules.pop(f"fake_{name}", None)
        shutil.rmtree(self.root / "__pycache__", ignore_errors=True)

    def config(self, **changes: Any) -> DictConfig:
        stages: dict[str, Any] = {
            name: {"run": f"fake_{name}", "needs": needs, "uses": self.uses[name], "label": f"my {name}"}
            for name, needs in self.needs.items()
        }
        stages["photos"]["outside"] = ["data.root"]
        stages["vectors"]["folds"] = 2
        values = {
            "stage": "report", "seed": 0, "runs": str(self.root / "runs"), "upstream": "run", "workers": 1, "top_k": 5,
            "data": {"root": str(self.photos), "margin": 0.0}, "model": {"lr": 0.1, "batch_size": 4}, "stages": stages,
        }  # fmt: skip
        cfg = OmegaConf.create(values)
        for key, value in changes.items():
            OmegaConf.update(cfg, key.replace("__", "."), value)
        OmegaConf.set_readonly(cfg, True)
        return cfg

    def run(self, **changes: Any) -> Path:
        return execute(self.config(**changes), Console(file=io.StringIO()))

    def keys(self, **changes: Any) -> dict[str, str]:
        return {step.name: step.key for step in plan(self.config(**changes))}

    def ran(self) -> list[str]:
        """Stages that ran since the last call."""
        lines = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    house = House(tmp_path)
    yield house
    for name in [m for m in sys.modules if m.startswith("fake_")]:
        del sys.modules[name]


def test_upstream_runs_first_and_results_flow_down(house: House) -> None:
    folder = house.run()
    assert house.ran() == ["photos", "model", "vectors", "report"]
    assert (folder / "result.txt").read_text() == "report(vectors(photos()+model(photos())))"
    assert folder.parent == house.root / "runs" / "report"
    assert folder.name.startswith("my_report-")


def test_manifest_says_what_the_folder_was_made_from(house: House) -> None:
    folder = house.run(seed=3)
    steps = {step.name: step for step in plan(house.config(seed=3))}
    manifest = Manifest.read(folder)
    assert manifest is not None
    assert (manifest.stage, manifest.key, manifest.seed) == ("report", steps["report"].key, 3)
    assert manifest.inputs == {"vectors": steps["vectors"].key}
    assert manifest.config["top_k"] == 5
    model = Manifest.read(steps["model"].folder)
    assert model is not None
    assert model.config["model.lr"] == 0.1
    assert all(step.done for step in steps.values())


def test_what_is_done_is_skipped(house: House) -> None:
    first = house.run(stage="model")
    assert house.ran() == ["photos", "model"]
    assert house.run(stage="model") == first
    assert house.ran() == []
    house.run()
    assert house.ran() == ["vectors", "report"]


def _changed(a: dict[str, str], b: dict[str, str]) -> set[str]:
    return {name for name in a if a[name] != b[name]}


EVERYTHING = {"photos", "model", "vectors", "report"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data__margin": 0.5}, EVERYTHING),
        ({"model__lr": 0.2}, {"model", "vectors", "report"}),
        ({"seed": 1}, {"model", "vectors", "report"}),
        ({"stages__vectors__folds": 3}, {"vectors", "report"}),
        ({"top_k": 9}, {"report"}),
        ({"workers": 8}, set()),
        ({"model__batch_size": 64}, set()),
        ({"upstream": "refuse"}, set()),
        ({"stages__vectors__label": "another name"}, set()),
        ({"stages__vectors__resume": True}, set()),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_setting_changes_the_keys_of_the_stages_that_use_it_and_below(
    house: House, changes: dict[str, Any], expected: set[str]
) -> None:
    assert _changed(house.keys(), house.keys(**changes)) == expected


def test_a_changed_setting_reruns_only_what_it_touches(house: House) -> None:
    house.run()
    house.ran()
    house.run(model__lr=0.2)
    assert house.ran() == ["model", "vectors", "report"]
    house.run()
    assert house.ran() == []


def test_another_label_finds_what_is_done(house: House) -> None:
    first = house.run()
    house.ran()
    renamed = {f"stages__{name}__label": f"new {name}" for name in house.needs}
    assert house.run(**renamed) == first
    assert house.ran() == []
    assert house.run(**renamed, top_k=9).name.startswith("new_report-")


def test_another_label_goes_on_where_a_killed_run_stopped(house: House) -> None:
    house.write("model", '    (out / "begun.txt").touch()\n    raise RuntimeError("killed")')
    with pytest.raises(RuntimeError, match="killed"):
        house.run(stage="model", stages__model__resume=True)
    body = '    assert (out / "begun.txt").exists()'
    house.write("model", body)
    folder = house.run(stage="model", stages__model__resume=True, stages__model__label="new name")
    assert folder.name.startswith("my_model-")
    assert not list(folder.parent.glob(".*.building"))


def test_an_unfinished_folder_of_another_label_does_not_count(house: House) -> None:
    folder = house.run(stage="photos")
    (folder / MANIFEST).unlink()
    house.ran()
    assert house.run(stage="photos", stages__photos__label="new name").name.startswith("new_name-")
    assert house.ran() == ["photos"]


def test_a_stages_version_changes_its_key_and_those_below(house: House) -> None:
    before = house.keys()
    house.write("model", version=2)
    assert _changed(before, house.keys()) == {"model", "vectors", "report"}


@pytest.mark.parametrize("change", ["content", "new", "gone", "deep", "renamed"])
def test_outside_files_change_the_keys(house: House, change: str) -> None:
    (house.photos / "b.jpg").write_text("b")
    before = house.keys()
    if change == "content":
        (house.photos / "a.jpg").write_text("another")
    elif change == "new":
        (house.photos / "c.jpg").write_text("c")
    elif change == "gone":
        (house.photos / "b.jpg").unlink()
    elif change == "renamed":
        (house.photos / "b.jpg").rename(house.photos / "z.jpg")
    else:
        (house.photos / "deep").mkdir()
        (house.photos / "deep" / "a.jpg").write_text("a")
    assert _changed(before, house.keys()) == EVERYTHING


def test_where_outside_files_lie_does_not_count(house: House) -> None:
    before = house.keys()
    moved = house.root / "elsewhere"
    house.photos.rename(moved)
    assert house.keys(data__root=str(moved)) == before


def test_how_an_outside_path_is_spelled_does_not_count(house: House) -> None:
    before = house.keys()
    assert house.keys(data__root=f"{house.photos}/") == before
    assert house.keys(data__root=os.path.relpath(house.photos)) == before


def test_refuse_names_the_command_to_run(house: House) -> None:
    with pytest.raises(UserError, match=r"stage=report needs stage=photos.*upstream=refuse") as caught:
        house.run(upstream="refuse")
    assert "python -m skufp stage=vectors" in str(caught.value)
    assert house.ran() == []
    house.run(stage="vectors")
    house.ran()
    house.run(upstream="refuse")
    assert house.ran() == ["report"]


def test_unknown_stages_name_the_nearest(house: House) -> None:
    with pytest.raises(UserError, match=r"no stage 'reprt'\. Did you mean 'report'"):
        house.run(stage="reprt")
    with pytest.raises(UserError, match=r"vectors\.yaml needs 'modle'\. Did you mean 'model'"):
        house.run(stages__vectors__needs=["modle"])


def test_a_circle_is_named(house: House) -> None:
    with pytest.raises(UserError, match="report -> vectors -> model -> report is a circle"):
        house.run(stages__model__needs=["report"])


def test_a_module_without_version_is_refused(house: House) -> None:
    (house.root / "fake_empty.py").write_text("def run(cfg, inputs, out): ...\n")
    with pytest.raises(UserError, match=r"fake_empty must define VERSION and run\(\)"):
        house.run(stages__report__run="fake_empty")


CRASH = "    raise RuntimeError('power cut')"


@pytest.mark.parametrize("resume", [False, True])
def test_a_crash_leaves_nothing_done_and_the_rerun_completes(house: House, resume: bool) -> None:
    house.write("model", body="    assert not (out / 'half.txt').exists()\n    (out / 'half.txt').touch()\n" + CRASH)
    with pytest.raises(RuntimeError, match="power cut"):
        house.run(stages__model__resume=resume)
    assert house.ran() == ["photos", "model"]
    folder = {step.name: step.folder for step in plan(house.config())}["model"]
    assert not folder.exists()
    assert not list((house.root / "runs" / "model").rglob(MANIFEST))
    house.write("model", body=f"    assert (out / 'half.txt').exists() is {resume}")
    house.run(stages__model__resume=resume)
    assert house.ran() == ["model", "vectors", "report"]
    assert Manifest.read(folder) is not None


def test_a_folder_whose_manifest_was_damaged_is_built_again(house: House) -> None:
    folder = house.run(stage="photos")
    house.ran()
    (folder / MANIFEST).write_text("{")
    (folder / "stale.txt").touch()
    assert house.run(stage="photos") == folder
    assert house.ran() == ["photos"]
    assert not (folder / "stale.txt").exists()


def test_the_stage_sees_its_own_name_and_a_read_only_config(house: House) -> None:
    body = (
        "    from omegaconf import OmegaConf\n"
        "    assert cfg.stage == 'model'\n"
        "    assert OmegaConf.is_readonly(cfg)\n"
        "    assert set(inputs) == {'photos'}\n"
    )
    house.write("model", body=body)
    house.run(stage="model")
    assert house.ran() == ["photos", "model"]


def test_check_of_every_stage_to_run_comes_before_any_run(house: House) -> None:
    body = "\ndef check(cfg):\n    from skufp.errors import UserError\n    raise UserError('give a photo')\n"
    house.write("report", body=body)
    with pytest.raises(UserError, match="give a photo"):
        house.run()
    assert house.ran() == []


def test_show_is_called_even_when_everything_is_done(house: House) -> None:
    house.write("report", body="\ndef show(cfg, folder, console):\n    console.print('SHOWN ' + folder.name)\n")
    for _ in range(2):
        out = io.StringIO()
        folder = execute(house.config(), Console(file=out, width=400))
        assert f"SHOWN {folder.name}" in out.getvalue()


def test_plan_lists_a_shared_input_once_and_in_running_order(house: House) -> None:
    steps: list[Planned] = plan(house.config())
    assert [step.name for step in steps] == ["photos", "model", "vectors", "report"]
    assert not any(step.done for step in steps)
    assert [s.name for s in plan(house.config(stage="photos"))] == ["photos"]


def test_a_stage_is_given_the_stages_it_stands_on_and_no_other(house: House) -> None:
    """Two branches off one model, vectors and taught: neither is given the other, though it ran; the report is both."""
    house.needs |= {"teacher": ["model"], "taught": ["teacher"], "report": ["vectors", "taught"]}
    house.uses |= {"teacher": [], "taught": []}
    for name in house.needs:
        body = (
            "    import json\n    (out / 'inputs.json').write_text(json.dumps({n: str(p) for n, p in inputs.items()}))"
        )
        house.write(name, body=body)
    house.run()
    steps = plan(house.config())
    assert [step.name for step in steps] == ["photos", "model", "vectors", "teacher", "taught", "report"]
    expected: dict[str, set[str]] = {
        "photos": set(), "model": {"photos"}, "vectors": {"photos", "model"}, "teacher": {"photos", "model"},
        "taught": {"photos", "model", "teacher"}, "report": {"photos", "model", "vectors", "teacher", "taught"},
    }  # fmt: skip
    folder = {step.name: str(step.folder) for step in steps}
    for step in steps:
        given = json.loads((step.folder / "inputs.json").read_text())
        assert given == {name: folder[name] for name in expected[step.name]}, step.name
        assert upstream(step, steps) == expected[step.name]


SLOW = """
    import pathlib, time
    root = pathlib.Path("{root}")
    (root / "running").touch()
    end = time.monotonic() + 60
    while not (root / "go").exists() and time.monotonic() < end:
        time.sleep(0.02)
"""


def _wait_for(condition: Any, processes: list[subprocess.Popen[str]]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "nothing happened for a minute"
        assert all(p.poll() in (None, 0) for p in processes), "a process failed"
        time.sleep(0.02)


def test_two_processes_run_a_stage_once(house: House) -> None:
    house.write("photos", body=SLOW.format(root=house.root))
    (house.root / "cfg.yaml").write_text(OmegaConf.to_yaml(house.config(stage="model")))
    program = (
        "import sys; sys.path.insert(0, '.')\n"
        "from omegaconf import OmegaConf\n"
        "from rich.console import Console\n"
        "from skufp.pipeline import execute\n"
        "print(execute(OmegaConf.load('cfg.yaml'), Console(width=300)))\n"
    )

    def start(name: str) -> subprocess.Popen[str]:
        out = (house.root / name).open("w")
        command = [sys.executable, "-u", "-c", program]
        return subprocess.Popen(command, cwd=house.root, stdout=out, stderr=subprocess.STDOUT, text=True)

    first = start("first.txt")
    _wait_for((house.root / "running").exists, [first])
    second = start("second.txt")
    _wait_for(lambda: "waiting for it" in (house.root / "second.txt").read_text(), [first, second])
    (house.root / "go").touch()
    assert [first.wait(60), second.wait(60)] == [0, 0], (house.root / "second.txt").read_text()
    assert sorted(house.ran()) == ["model", "photos"]
    last = [(house.root / name).read_text().splitlines()[-1] for name in ("first.txt", "second.txt")]
    assert last[0] == last[1]
    manifest = json.loads((Path(last[0]) / MANIFEST).read_text())
    assert manifest["stage"] == "model"


LAY_OUT = """
def lay_out(cfg, inputs, folder, target, console):
    target.write_text(" ".join(sorted(inputs)) + ": " + (folder / "result.txt").read_text())
"""


def test_export_to_lays_the_result_out_every_time(house: House) -> None:
    house.write("vectors", LAY_OUT)
    target = house.root / "laid out.txt"
    before = house.keys(stage="vectors")
    for _ in range(2):
        house.run(stage="vectors", export_to=str(target))
        assert target.read_text() == "model photos vectors: vectors(photos()+model(photos()))"
        target.unlink()
    assert house.ran() == ["photos", "model", "vectors"]
    assert house.keys(stage="vectors", export_to=str(target)) == before
    house.run()  # without export_to
    assert not target.exists()


def test_export_to_is_refused_where_nothing_is_laid_out(house: House) -> None:
    house.write("vectors", LAY_OUT)
    with pytest.raises(UserError, match=r"stage=report lays nothing out; stage=vectors can"):
        house.run(export_to="anywhere")
    assert house.ran() == []
