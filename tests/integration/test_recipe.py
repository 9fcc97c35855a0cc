"""A stage from Python: skufp.run, the recipe and the notebook of docs/examples."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import skufp as package
from skufp.errors import UserError

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def test_run_finds_what_the_command_line_has_finished(chain, monkeypatch, capsys):
    monkeypatch.chdir(chain.folder)
    folder = package.run("index", chain.settings)
    assert folder.resolve() == chain.folders["index"].resolve()
    assert "to run" not in capsys.readouterr().out


def test_run_lays_out_a_folder_that_can_be_searched(chain, beside, tmp_path, monkeypatch):
    beside(tmp_path, "prepare", "retriever", "embed", "teacher", "fingerprint", "index")
    monkeypatch.chdir(tmp_path)
    package.run("index", [*chain.settings, "export_to=similar/"])
    names = json.loads((tmp_path / "similar" / "filenames.json").read_text(encoding="utf-8"))
    crop = next(chain.folders["prepare"].glob("validation/catalog/**/*.jpg"))
    found = package.search_similar(crop, "similar/", top_k=3)
    assert len(found) == 3
    assert {hit["filename"] for hit in found} <= set(names)


@pytest.mark.parametrize(
    ("stage", "overrides", "says"),
    [
        ("indx", [], "There is no stage 'indx'. Did you mean 'index'?"),
        ("index", ["modle=lite"], "modle"),
        ("index", ["model.training.stepz=3"], "There is no setting 'model.training.stepz'. Did you mean 'steps'?"),
        ("index", ["model=lit"], "model=lit: there is no such choice. Did you mean 'lite'?"),
        ("index", ["--multirun"], "'--multirun' is no setting: write name=value"),
        ("index", ["model"], "'model' is no setting: write name=value"),
        ("index", ["stage=search"], "give the stage as the first argument"),
    ],
)
def test_mistakes_are_told_before_anything_runs(stage, overrides, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        package.run(stage, overrides)
    assert says in str(error.value)
    assert not list(tmp_path.iterdir())


def test_values_of_any_characters_mean_what_they_mean_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "my photos (1), new"
    photos.mkdir()
    with pytest.raises(UserError, match=r"my photos \(1\), new"):
        package.run("prepare", ["data=folder", f"data.root={photos}", "progress=false"])


@pytest.mark.slow
def test_the_recipe_runs(tmp_path):
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(EXAMPLES / "fingerprints.py")]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    answers = [line for line in result.stdout.splitlines() if line.endswith(".jpg")]
    assert len(answers) == 5


def test_the_saved_notebook_holds_answers_and_nothing_of_the_machine_that_made_it():
    text = (EXAMPLES / "search.ipynb").read_text(encoding="utf-8")
    outputs = [out for cell in json.loads(text)["cells"] for out in cell.get("outputs", [])]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert {out["name"] for out in outputs if out["output_type"] == "stream"} == {"stdout"}
    assert "site-packages" not in text
    assert len(text) < 100_000


@pytest.mark.slow
def test_the_notebook_runs_and_its_saved_answers_are_those_of_today(tmp_path):
    """Executed in an empty folder; the texts that it saved are compared with what its cells print now."""
    import nbformat
    from nbclient import NotebookClient

    shutil.copy(EXAMPLES / "search.ipynb", tmp_path)
    notebook = nbformat.read(tmp_path / "search.ipynb", as_version=4)
    saved = [printed(cell) for cell in notebook.cells]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [printed(cell) for cell in notebook.cells] == saved


def printed(cell):
    """The names and places of a cell's answers; scores are left out, another CPU rounds them otherwise."""
    texts = [out["text"] for out in cell.get("outputs", []) if out.output_type == "stream" and out["name"] == "stdout"]
    return [line.split()[:2] for line in "".join(texts).splitlines() if line[:1].isdigit()]
