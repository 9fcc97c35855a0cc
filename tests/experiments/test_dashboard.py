"""The dashboard: what it names is what runs log, it survives a round trip, and it is sent by one command."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skufp.callbacks.retrieval import FaissRetrieval
from skufp.callbacks.wandb_evaluation import EXAMPLES, curves, figures, rows, table_key
from skufp.retrieval.comparison import Method, compare
from skufp.retrieval.evaluation.methods import LABELS

pytest.importorskip("wandb_workspaces", reason="pip install 'skufp[dashboard]'")

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "dashboard.py"
EYE = np.eye(4, dtype=np.float32)
KEY = "a" * 40


@pytest.fixture(scope="module")
def dashboard() -> Any:
    spec = importlib.util.spec_from_file_location("dashboard", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: str, folder: Path, prelude: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a user would who is not logged in, after the line ``prelude``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    kept |= {"NETRC": str(folder / "no.netrc"), "WANDB_CONFIG_DIR": str(folder), "WANDB_CACHE_DIR": str(folder)}
    code = (
        f"import runpy, sys; {prelude}sys.argv[0] = {str(SCRIPT)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False, timeout=60)


def panels(definition: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The panels of every section of a definition."""
    sections = definition["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def of_type(definition: dict[str, Any], view_type: str) -> list[dict[str, Any]]:
    return [p["config"] for shown in panels(definition).values() for p in shown if p["viewType"] == view_type]


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    """A row per method as an evaluation makes them, of two query photos that only multi-vector answers at once."""
    ranks = {name: np.array([2, 2]) for name in LABELS} | {"multi_vector": np.array([1, 1])}
    methods = [Method(name, r, 1.0, 16.0, {"p50_ms": 0.1, "p95_ms": 0.2}) for name, r in ranks.items()]
    compared = compare(methods, np.arange(2), 10, 0)
    return {"image": compared, "text": compared, "latency": {"encode": {"p50_ms": 1.0, "p95_ms": 2.0}}}


def test_the_file_beside_the_script_is_a_fresh_build(dashboard):
    fresh, kept = dashboard.definition(), json.loads(dashboard.FILE.read_text())
    if fresh["made_with"] != kept["made_with"]:
        pytest.skip(f"{dashboard.FILE.name} was made with {kept['made_with']}, here is {fresh['made_with']}")
    assert kept == fresh
    assert dashboard.definition("team", "shop") == fresh  # nothing drawn by lot, and at home in any project


def test_it_survives_a_round_trip_through_the_server_s_format(dashboard):
    from wandb_workspaces.workspaces import Workspace
    from wandb_workspaces.workspaces.internal import View, WorkspaceViewspec

    spec = dashboard.definition()["spec"]
    view = View(
        entity="team", project="shop", display_name="x", name="", id="",
        spec=WorkspaceViewspec.model_validate_json(json.dumps(spec)),
    )  # fmt: skip
    again = Workspace._from_model(view)
    assert [section.name for section in again.sections] == ["Results", "Training", "Teachers", "Latency", "Examples"]
    assert [(g.section, g.name) for g in again.runset_settings.groupby] == [
        ("run", "Group"),
        ("config", "run.ablation"),
    ]
    parsed = json.loads(again._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    assert panels({"spec": parsed}) == panels({"spec": spec})


def test_bars_and_points_are_figures_of_an_evaluation(dashboard, metrics):
    definition, logged = dashboard.definition(), figures(metrics)
    bars = [key for config in of_type(definition, "Bar Chart") for key in config["metrics"]]
    points = [
        c[axis].removeprefix("summary:") for c in of_type(definition, "Scatter Plot") for axis in ("xAxis", "yAxis")
    ]
    assert len(points) == 2
    of_teachers = {key for key in bars if key.startswith("teacher/")}  # tests/integration has a real report
    assert {*bars, *points} - of_teachers <= logged.keys()
    assert {f"eval/{method}/mrr" for method in LABELS} <= {*bars}


def test_charts_tables_and_pictures_are_logged_by_an_evaluation(dashboard):
    size = {"vectors": "mean", "kind": "flat", "bytes_per_sku": 16.0, "recall@1": 0.5}
    logged = curves({"image": {"mean": {"recall@1": 0.5}}, "sizes": [size]})
    charts = of_type(dashboard.definition(), "Vega2")
    assert len(charts) == len(logged) == 2
    for config in charts:
        (query,) = config["userQuery"]["queryFields"]
        (table,) = [f for f in query["fields"] if f["name"] == "summaryTable"]
        curve = logged[table["args"][0]["value"].removesuffix("_table")]
        assert config["fieldSettings"] == curve.spec.fields
        assert set(curve.spec.fields.values()) <= set(curve.table.columns)
        assert config["panelDefId"] == curve.spec.spec_name

    strata = {"views": {"1": {"queries": 1, "mean": {"mrr": 1.0}}}}
    tables = {table_key(name) for name in rows({"image": {"mean": {"mrr": 0.5}}, "strata": strata})}
    shown = re.findall(r'"(table/[^"]+)"', json.dumps(dashboard.definition()))
    assert set(shown) == tables
    assert [config["mediaKeys"] for config in of_type(dashboard.definition(), "Media Browser")] == [[EXAMPLES]]


def test_lines_are_what_the_retrieval_callback_logs(dashboard):
    callback = FaissRetrieval()
    views = {"b": EYE[1:3]}  # a SKU with two views, so that there is a best one to agree with
    logged = {f"val/{key}" for key in callback._measure(EYE, EYE[1:2], np.array([1]), ["a", "b", "c", "d"], views)}
    lines = of_type(dashboard.definition(), "Run History Line Plot")
    keys = {key for config in lines for key in config["metrics"]}
    assert keys == keys & logged
    assert {"val/mrr", "val/teacher_agreement"} <= keys
    (pattern,) = [config["metricRegex"] for config in lines if "metricRegex" in config]
    assert re.search(pattern, "train/distill_loss")
    assert not re.search(pattern, "train/distill_loss_weight")


def test_without_the_extra_it_says_what_to_install(tmp_path):
    result = run(folder=tmp_path, prelude="sys.modules['wandb_workspaces'] = None; ")
    assert result.returncode == 2
    assert result.stderr == "error: the dashboard needs the package wandb-workspaces: pip install 'skufp[dashboard]'\n"


def test_without_a_login_or_an_entity_it_says_so_in_a_line(tmp_path):
    nobody = run("--send", "--entity", "team", folder=tmp_path)
    assert (nobody.returncode, nobody.stderr.count("\n")) == (2, 1)
    assert "wandb login" in nobody.stderr
    nowhere = run("--send", folder=tmp_path)
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 1)
    assert "--entity" in nowhere.stderr


class Server(BaseHTTPRequestHandler):
    """Answers the two questions that sending asks: who is there, and whether the view was taken."""

    views: list[dict[str, Any]]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data: dict[str, Any] = {"viewer": {"id": "1", "username": "me", "entity": "team", "flags": "{}"}}
        if "upsertView" in asked["query"]:
            self.views.append(asked["variables"])
            data = {"upsertView": {"view": {"id": "7", "name": asked["variables"]["name"]}, "inserted": True}}
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on this machine: its address, and the views that it was sent."""
    taken: list[dict[str, Any]] = []
    listening = HTTPServer(("127.0.0.1", 0), type("Listening", (Server,), {"views": taken}))
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", taken
    listening.shutdown()
    thread.join()


def test_it_is_sent_by_one_command(dashboard, tmp_path, server):
    address, views = server
    arguments = ("--send", "--entity", "team", "--project", "shop")
    result = run(*arguments, folder=tmp_path, WANDB_BASE_URL=address, WANDB_API_KEY=KEY)
    assert result.returncode == 0, result.stderr
    (view,) = views
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("team", "shop", dashboard.NAME)
    assert json.loads(view["spec"]) == dashboard.definition()["spec"]
    assert re.fullmatch(rf"{address}/team/shop\?nw=\w+\n", result.stdout)
