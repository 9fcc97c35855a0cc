"""The record of each stage's code: what trips it, what does not, and how a decision is recorded."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FINGERPRINTS = {"fingerprint", "plain_attention", "actions"}  # stage=actions trains fingerprints anew for its folds
ENCODERS = {"retriever", "judge"}
LOSS = "src/skufp/models/losses/margin.py"
CROPS = "src/skufp/data/deepfashion2.py"
HINT = "python scripts/versions.py record"
Mutate = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, scripts: SimpleNamespace) -> Path:
    """A copy of the package, of conf/ and of a record that is up to date."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("src/skufp", "conf"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "scripts").mkdir()
    scripts.versions.record(root, [])
    return root


@pytest.fixture
def mutate(checkout: Path) -> Iterator[Mutate]:
    """Replace text in a file of the copy that must be there; the copy is itself again after the test."""
    before: dict[Path, bytes] = {}

    def replace(name: str, old: str, new: str) -> None:
        path = checkout / name
        before.setdefault(path, path.read_bytes())
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    before[checkout / "scripts/versions.json"] = (checkout / "scripts/versions.json").read_bytes()
    yield replace
    for path, content in before.items():
        path.write_bytes(content)


@pytest.fixture
def tripped(checkout: Path, scripts: SimpleNamespace) -> Callable[[], dict[str, list[str]]]:
    """Return the stages that need a decision, and the files that moved under them."""

    def compare() -> dict[str, list[str]]:
        new, files = scripts.versions.current(checkout)
        return scripts.versions.compare(scripts.versions.read(checkout), new, files).undecided

    return compare


def test_the_record_is_that_of_the_code(scripts: SimpleNamespace) -> None:
    started = time.process_time()
    new, files = scripts.versions.current(REPOSITORY)
    assert time.process_time() - started < 5
    changes = scripts.versions.compare(scripts.versions.read(REPOSITORY), new, files)
    assert not changes, "\n" + scripts.versions.explain(changes, new)


@pytest.mark.parametrize(
    ("name", "old", "new", "stages"),
    [
        (LOSS, "leads(", "-leads(", FINGERPRINTS),
        ("src/skufp/models/losses/sigmoid.py", "logsigmoid", "sigmoid", ENCODERS),
        ("src/skufp/catalogue/prompts/en/title.md", "title", "headline", {"describe"}),
        ("src/skufp/catalogue/phrases/en.toml", '"plain"', '"bare"', {"describe"}),
        ("src/skufp/reports/clusters.html.j2", "<html", '<html dir="ltr"', {"cluster"}),
        ("conf/vocabulary/enhanced.lists.yml", "paisley", "boteh", {"attributes", "bundle", "describe", "evaluate"}),
        ("src/skufp/data/image_datamodule.py", "self.batches(8)", "self.batches(9)", ENCODERS),
        ("src/skufp/data/sku_datamodule.py", "BUFFER = 4096", "BUFFER = 4095", FINGERPRINTS),
        ("src/skufp/models/aggregators/qformer.py", "* 0.02", "* 0.01", FINGERPRINTS - {"plain_attention"}),
        (CROPS, "broken JSON", "no JSON", {"prepare"}),
        ("src/skufp/models/flow.py", "torch.", "torch.nn.", {"augmenter", "views"}),
        ("src/skufp/callbacks/calibration.py", "gain > 0 and", "gain > 1 and", {"policy"}),
    ],
)
def test_a_change_trips_just_the_stages_that_use_it(
    mutate: Mutate, tripped: Callable[[], dict[str, list[str]]], name: str, old: str, new: str, stages: set[str]
) -> None:
    mutate(name, old, new)
    assert tripped() == {stage: [name] for stage in stages}


def test_a_class_that_is_found_on_disk_or_in_the_schema_counts_where_it_is_used(
    mutate: Mutate, tripped: Callable[[], dict[str, list[str]]]
) -> None:
    mutate("src/skufp/models/lite.py", "rgb + 0.05", "rgb + 0.06")
    stages = set(tripped())
    assert {"retriever", "judge", "embed", "search", "views", "attributes"} <= stages
    assert not stages & {"prepare", "teacher", "fingerprint", "index", "policy"}


def test_comments_docstrings_layout_types_and_settings_trip_nothing(
    mutate: Mutate, tripped: Callable[[], dict[str, list[str]]]
) -> None:
    mutate(LOSS, "Hinges", "# no comment\n\n  Hooks")
    mutate(LOSS, "def margin_ranking(", "\n\n# A comment.\ndef margin_ranking(\n    ")
    mutate("src/skufp/stages/teacher.py", "if TYPE_CHECKING:", "if TYPE_CHECKING:\n    import this\n")
    mutate("conf/vocabulary/starter.lists.yml", "\n", "\n# A comment.\n\n")
    mutate("conf/model/lite.yaml", "steps: 150", "steps: 151")  # a setting is in the key
    mutate("src/skufp/pipeline.py", '"Plan"', '"The plan"')  # machinery
    assert tripped() == {}


def test_every_file_of_the_package_counts_for_a_stage_or_is_known_not_to(scripts: SimpleNamespace) -> None:
    files = set(scripts.versions.current(REPOSITORY)[0]["files"])
    machinery = scripts.stage_code.MACHINERY
    for path in sorted((REPOSITORY / "src/skufp").rglob("*")):
        name = path.relative_to(REPOSITORY).as_posix()
        if path.is_dir() or "__pycache__" in name or name.startswith("src/skufp/schema/"):  # settings are in the key
            continue
        if path.suffix != ".py" or scripts.source_text.read_source(path.read_bytes(), ()).parts:
            assert (name in files) != (name in machinery), f"{name}: used by no stage; name it in MACHINERY if so"


def test_the_tables_of_the_script_name_what_there_is(scripts: SimpleNamespace) -> None:
    for name in scripts.stage_code.MACHINERY:
        assert (REPOSITORY / name).is_file(), name
    for (name, part), _ in scripts.stage_code.FROM_DISK.items():
        assert part in scripts.source_text.read_source((REPOSITORY / name).read_bytes(), ()).parts, (name, part)


def test_what_moved_is_recorded_once_its_version_is_raised(
    mutate: Mutate, checkout: Path, scripts: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate(CROPS, "broken JSON", "no JSON")
    assert run(scripts, checkout) == 1
    told = capsys.readouterr().out
    assert f" in skufp.stages.prepare): {CROPS}\n" in told
    assert f"{HINT} --same-result prepare" in told
    assert run(scripts, checkout, "record") == 2
    assert "deepfashion2.py" in capsys.readouterr().err
    version = scripts.stage_code.StageCode(checkout).version("prepare")[0]
    mutate("src/skufp/stages/prepare.py", f"VERSION = {version}", f"VERSION = {version + 1}")
    assert run(scripts, checkout) == 1, "raised, but not recorded: the next change would pass"
    assert "not recorded yet: prepare" in capsys.readouterr().out
    assert run(scripts, checkout, "record") == 0
    assert run(scripts, checkout) == 0
    mutate("src/skufp/stages/prepare.py", f"VERSION = {version + 1}", f"VERSION = {version}")
    assert run(scripts, checkout) == 2
    assert "may only rise" in capsys.readouterr().err


def test_the_same_result_is_a_decision_for_the_stages_that_are_named(
    mutate: Mutate, checkout: Path, scripts: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate(LOSS, "leads(", "-leads(")
    assert run(scripts, checkout, "record", "--same-result", "fingerprint", "actions") == 2
    told = capsys.readouterr().err
    assert "plain_attention (" in told
    assert "actions (" not in told
    assert run(scripts, checkout, "record", "--same-result", "fingerprnt") == 2
    assert "there is no such stage" in capsys.readouterr().err
    assert run(scripts, checkout, "record", "--same-result") == 0
    assert run(scripts, checkout) == 0


def test_one_stage_of_a_shared_module_is_raised_by_its_yaml(
    mutate: Mutate, checkout: Path, scripts: SimpleNamespace, tripped: Callable[[], dict[str, list[str]]]
) -> None:
    mutate(LOSS, "leads(", "-leads(")
    mutate("conf/stages/fingerprint.yaml", "resume: true", "resume: true\nversion: 1")
    assert set(tripped()) == FINGERPRINTS - {"fingerprint"}
    assert scripts.stage_code.StageCode(checkout).version("fingerprint")[1:] == [1]


def test_a_new_choice_is_recorded_without_a_decision(
    checkout: Path, mutate: Mutate, scripts: SimpleNamespace, tripped: Callable[[], dict[str, list[str]]]
) -> None:
    added = [checkout / "src/skufp/models/aggregators/last.py", checkout / "conf/aggregator/last.yaml"]
    try:
        added[0].write_text("class Last:\n    pass\n")
        added[1].write_text("name: last\nmodule: {_target_: skufp.models.aggregators.last.Last}\n")
        assert tripped() == {}
        assert run(scripts, checkout) == 1
        assert run(scripts, checkout, "record") == 0
        added[0].write_text("class Last:\n    dim = 1\n")
        assert set(tripped()) == FINGERPRINTS - {"plain_attention"}  # whose aggregator is always attention
    finally:
        for path in added:
            path.unlink()


def test_another_module_for_a_stage_is_a_change(
    checkout: Path, mutate: Mutate, tripped: Callable[[], dict[str, list[str]]]
) -> None:
    other = checkout / "src/skufp/stages/other.py"
    try:
        shutil.copy(checkout / "src/skufp/stages/index.py", other)
        mutate("conf/stages/index.yaml", "run: skufp.stages.index", "run: skufp.stages.other")
        assert tripped() == {"index": ["conf/stages/index.yaml (run)"]}
    finally:
        other.unlink()


def test_a_record_that_a_merge_left_in_pieces_says_what_to_type(
    checkout: Path, mutate: Mutate, scripts: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate("scripts/versions.json", "{", "<<<<<<< ours\n{")
    assert run(scripts, checkout) == 2
    assert "git checkout --ours scripts/versions.json" in capsys.readouterr().err


def test_the_record_reads_line_by_line(scripts: SimpleNamespace) -> None:
    lines = (REPOSITORY / "scripts/versions.json").read_text().splitlines()
    record: dict[str, Any] = json.loads("\n".join(lines))
    assert len(lines) == len(record["stages"]) + len(record["files"]) + 6


def run(scripts: SimpleNamespace, root: Path, *arguments: str) -> int:
    return scripts.versions.main([*arguments, f"--root={root}"])
