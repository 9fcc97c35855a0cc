"""The command line: quoting, --image and --text, and what mistakes are told."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from skufp.__main__ import Experiments, check_composition, config_folder
from skufp.arguments import literal, quote, translate_arguments, with_implied
from skufp.config import plain
from skufp.errors import UserError
from skufp.schema import register_schema
from skufp.targets import LITE, PACKAGES

Run = Callable[..., subprocess.CompletedProcess[str]]
NASTY = [
    "photo (1).jpg", "men's tee, navy", "C:\\pics\\a.jpg", "C:\\pics\\", "\\\\server\\share\\", "trailing\\\\", "a b",
    'say "navy"', '"', '\\"', "\\\\\"", "'", "''", "[a, b]", "{a: b}", "(", ")", "a=b", "a,b", "$5 off", "$", "100%",
    "#1", "!x", "~x", "+x", "a:b", "a/b", "@home", "~/pics", "null", "true", "1e3", "ünï 中文 👗", " lead and trail ",
    "tab\there", "line\nbreak", "\\n", "*?", "glob(*)", "a;b|c&d", "a\u2028b", "choice(a,b)", "`x`", "a\\,b", "\\[x\\]",
]  # fmt: skip
INTERPOLATIONS = ["${seed}", "${oops}", "a ${oc.env:HOME} b", "${", "\\${seed}", "${a.b", "$${seed}", "$\\{seed}"]


@pytest.fixture(scope="module", autouse=True)
def _schema() -> None:
    register_schema()


@pytest.mark.parametrize("value", NASTY)
def test_quoting_survives_hydras_parser(value: str) -> None:
    override = OverridesParser.create().parse_override(f"query.image=[{quote(value)},{quote('b')}]")
    assert override.value() == [value, "b"]
    single = OverridesParser.create().parse_override(f"query.image={quote(value)}").value()
    assert single == value
    assert isinstance(single, str)


def test_nasty_strings_arrive_in_the_composed_query() -> None:
    arguments = [part for value in NASTY for part in ("--image", value)] + [f"--text={value}" for value in NASTY]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config", translate_arguments(arguments))
    assert plain(cfg.query.image) == NASTY
    assert plain(cfg.query.text) == NASTY
    assert cfg.stage == "search"


def test_flags_become_overrides_in_their_order() -> None:
    made = translate_arguments(["model=clip", "--image", "a.jpg", "--text=navy tee", "seed=3", "--image=b, c.jpg"])
    assert made == [
        "model=clip",
        "seed=3",
        'query.image=["a.jpg","b, c.jpg"]',
        'query.text=["navy tee"]',
        "stage=search",
    ]


def test_stage_is_kept_and_nothing_is_added_without_flags() -> None:
    assert translate_arguments(["--text", "tee", "stage=prepare"])[-1].startswith("query.text")
    assert translate_arguments(["-m", "seed=1,2", "--cfg", "job"]) == ["-m", "seed=1,2", "--cfg", "job"]


def test_a_value_may_look_like_a_flag_or_an_assignment() -> None:
    assert translate_arguments(["--text", "a=b"])[0] == 'query.text=["a=b"]'
    assert translate_arguments(["--text=a=b"])[0] == 'query.text=["a=b"]'


FILTERS = {
    "query.filter.colour=red": ("colour", "red"),
    "query.filter.second colour=navy blue": ("second_colour", "navy blue"),
    'query.filter.quoted="navy blue"': ("quoted", "navy blue"),
    "query.filter.either=[red, navy blue]": ("either", ["red", "navy blue"]),
    "query.filter.category=Women/Tops/Bras & Tanks": ("category", "Women/Tops/Bras & Tanks"),
    "query.filter.price=29": ("price", "29"),  # text, as products have it
    "query.filter.amount=29,90": ("amount", "29,90"),  # no sweep
    "query.filter.material=Cocona® (50 %), {x} ${seed}": ("material", "Cocona® (50 %), {x} ${seed}"),
    "query.filter.size-eu=L=M": ("size-eu", "L=M"),
    "++query.filter.plus=red": ("plus", "red"),
    "query.filter={braces: red}": ("braces", "red"),
}


def test_filters_are_written_as_any_setting_and_add_up() -> None:
    made = translate_arguments(["stage=search", *FILTERS])
    check_composition(made)
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config", made)
    assert plain(cfg.query.filter) == dict(FILTERS.values())


@pytest.mark.parametrize(
    "argument", ["query.filter.=red", "query.filter.a.b=red", "query.filter.1=x", "query.filters.a=b", "query.filter=x"]
)
def test_a_filter_without_a_plain_name_is_refused(argument: str) -> None:
    with pytest.raises(UserError, match=r"write query\.filter\.<field>=<value>, as in query\.filter\.colour=red"):
        translate_arguments([argument])


@pytest.mark.parametrize("arguments", [["--image"], ["--image="], ["--text", "  "], ["--text="], ["seed=1", "--text"]])
def test_a_flag_without_a_value_says_what_to_type(arguments: list[str]) -> None:
    with pytest.raises(UserError, match=r"needs a value: --(image photo\.jpg|text \"navy tee\")"):
        translate_arguments(arguments)


@pytest.mark.parametrize(
    ("arguments", "implied"),
    [
        ([], []),
        (["stage=views"], ["views=dit"]),
        (["-m", "stage=views", "seed=1,2"], ["views=dit"]),
        (["stage=views", "views=classic"], []),
        (["stage=views", "views=none"], []),  # refused by the stage, which says what to type
        (["stage=fingerprint"], []),
        (["model=lite"], []),
        (["model=lite_short"], []),
        (["model=siglip_tiny"], ["judge=lite"]),
        (["-m", "model=siglip_tiny,lite"], []),
        (["-m", "model=siglip_tiny,siglip"], ["judge=lite"]),
        (["model=siglip"], ["judge=lite"]),
        (["model=lite", "judge=lite"], []),  # warned of by the stage
        (["stage=views", "model=lite"], ["views=dit"]),
        (["stage=views", "model=lite", "judge=siglip"], ["views=dit"]),
        (["data=folder"], []),  # trains, on the photos themselves
        (["data=folder", "aggregator=mean"], ["model.training.steps=0"]),
        (["data=folder", "aggregator=mean", "model=siglip"], ["model.training.steps=0", "judge=lite"]),
        (["data=folder", "aggregator=mean", "model=siglip", "model.training.towers=full"], ["judge=lite"]),
        (["data=folder", "aggregator=mean", "model=siglip_tiny"], ["judge=lite"]),  # knows nothing untrained
        (["data=catalogue", "aggregator=mean", "model=siglip"], ["judge=lite"]),
        (["data=catalogue", "stage=describe"], ["aggregator=mean", "model.training.steps=0"]),
        (["data=catalogue", "stage=describe", "aggregator=gem"], []),
        (["stage=describe"], []),
    ],
)
def test_what_a_command_leaves_unsaid(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], implied: list[str]
) -> None:
    monkeypatch.setattr("skufp.arguments._has_lite", lambda: True)
    assert with_implied(arguments) == arguments + implied


@pytest.mark.parametrize(
    ("arguments", "implied"),
    [
        ([], []), (["model=siglip_tiny"], []), (["model=siglip"], []), (["judge=lite"], []), (["--info"], []),
        (["data=folder", "aggregator=mean"], ["model.training.steps=0"]),
    ],
)  # fmt: skip
def test_without_the_extra_lite_the_judge_is_the_small_siglip(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], implied: list[str]
) -> None:
    monkeypatch.setitem(PACKAGES, LITE, {"json": "json", "no_such_package_at_all": "no-such-package"})
    assert with_implied(arguments) == arguments + implied


def test_the_judge_is_another_encoder_than_the_model_whatever_is_left_unsaid() -> None:
    for model in ("siglip_tiny", "lite", "lite_short", "siglip"):
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = compose("config", with_implied(["stage=views", f"model={model}"]))
        assert plain(cfg.judge.encoder) != plain(cfg.model.encoder)
        assert cfg.views.name == "dit"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sede=1"], r"no setting 'sede'\. Did you mean 'seed'\?"),
        (["data.marginn=1"], r"no setting 'data\.marginn'\. Did you mean 'margin'\?"),
        (["model.training.stps=1"], r"no setting 'model\.training\.stps'\. Did you mean 'steps'\?"),
        (["+trainer.bogus=1"], r"no setting 'trainer\.bogus'"),
        (["modle=clip"], r"modle"),
        (["model=siglop"], r"model=siglop: there is no such choice\. Did you mean 'siglip'\?"),
        (["ablation=qqqqqqqqqq"], r"ablation=qqqqqqqqqq: there is no such choice\. Valid: .*mean_pool"),
        (["stage=serach"], r"There is no stage 'serach'\. Did you mean 'search'\?"),
        (["trainer.devices=3,4"], r"these are several values\. Add -m .* or write trainer\.devices=\[3,4\]"),
        (["-m", "stage=evaluate,fingerprnt"], r"There is no stage 'fingerprnt'\. Did you mean 'fingerprint'\?"),
        (["-m", "model=siglip_tiny,siglop"], r"model=siglop"),
        (["stages.embed.labl=x"], r"labl"),
        (["+stages.fingerprint.datamodule.view_drop=1"], r"Did you mean 'view_dropout'\?"),
        (["seed=abc"], r"(?s)seed.*abc|abc.*seed"),
        (["search"], r"'search' is not understood: settings are written name=value"),
        (["query.text=[a"], r"\[a"),
    ],
)
def test_mistakes_are_told_with_the_nearest_valid_name(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_composition(arguments)


def test_the_names_offered_are_those_of_the_same_section() -> None:
    with pytest.raises(UserError, match=r"no setting 'data\.at'\. Valid: .*margin") as caught:
        check_composition(["data.at=1"])
    assert "aggregator" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["model=clip", "data=folder", "data.root=photos/"], ["-m", "ablation=none,mean_pool", "seed=1,2"],
        ["stage=prepare", "data.splits=[train,validation]"], ["--cfg", "job"], ["hydra.verbose=true"],
        ["workers=2"],
    ],
)  # fmt: skip
def test_right_settings_pass(arguments: list[str]) -> None:
    check_composition(arguments)


@pytest.mark.slow
def test_every_choice_of_every_group_composes() -> None:
    folders = [g for g in config_folder().iterdir() if g.is_dir() and g.name != "stages"]
    groups = {g.name: sorted(c.stem for c in g.glob("*.yaml")) for g in folders}
    assert {"model", "data", "aggregator", "ablation", "logger", "trainer"} <= set(groups)
    for i in range(max(map(len, groups.values()))):
        check_composition([f"{group}={names[i % len(names)]}" for group, names in groups.items()])


def test_composing_and_checking_import_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from skufp.__main__ import check_composition\n"
        "from skufp.schema import register_schema\n"
        "import skufp.pipeline\n"
        "register_schema()\n"
        "check_composition(['model=siglip', 'stage=fingerprint'])\n"
        "heavy = {'torch', 'transformers', 'pytorch_lightning', 'cv2', 'faiss'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_config_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").touch()
    monkeypatch.setenv("SKUFP_CONF", str(tmp_path))
    assert config_folder() == tmp_path
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"no config\.yaml"):
        config_folder()


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real conf/ in which stage=search writes down its query instead of searching."""
    folder = tmp_path_factory.mktemp("echo")
    shutil.copytree(config_folder(), folder / "conf")
    (folder / "conf" / "stages" / "search.yaml").write_text(
        "# @package stages.search\nrun: echo_search\nneeds: []\nuses: [query]\nlabel: echo\n"
    )
    (folder / "echo_search.py").write_text(
        "import json\n"
        "VERSION = 1\n"
        "def run(cfg, inputs, out):\n"
        "    said = {'image': list(cfg.query.image), 'text': list(cfg.query.text)}\n"
        "    (out / 'said.json').write_text(json.dumps(said))\n"
    )
    (folder / "skufp_echo.py").write_text(
        "import skufp.config, skufp.targets\n"
        "known = skufp.targets.stage_modules()\n"
        "skufp.config.stage_modules = lambda: known | {'echo_search'}\n"
        "from skufp.__main__ import main\n"
        "main()\n"
    )
    return folder


def _run(echo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SKUFP_CONF": str(echo / "conf"), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, str(echo / "skufp_echo.py"), *arguments],
        cwd=echo,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_string_reaches_the_stage_as_it_was_typed(echo: Path) -> None:
    done = _run(echo, "runs=nasty", *[a for v in NASTY for a in ("--text", v, "--image", v)])
    assert done.returncode == 0, done.stderr
    (said,) = (echo / "nasty" / "search").glob("*/said.json")
    assert json.loads(said.read_text()) == {"image": NASTY, "text": NASTY}


def test_what_looks_like_an_interpolation_stays_literal(echo: Path) -> None:
    done = _run(echo, "runs=literal", *[a for v in INTERPOLATIONS for a in ("--text", v)])
    assert done.returncode == 0, done.stderr
    (said,) = (echo / "literal" / "search").glob("*/said.json")
    assert json.loads(said.read_text())["text"] == INTERPOLATIONS


def test_a_mistake_is_one_message_and_exit_code_2(echo: Path) -> None:
    done = _run(echo, "model=siglop")
    assert done.returncode == 2
    assert "error: model=siglop: there is no such choice. Did you mean 'siglip'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "--config-name", "ablatoins"], ["--config-name=ablatoins"], ["-cn", "ablatoins", "seed=1"],
        ["-m", "-cn=ablatoins"],
    ],
)  # fmt: skip
def test_an_unknown_sweep_names_the_nearest(arguments: list[str]) -> None:
    Plugins.instance().register(Experiments)
    with pytest.raises(UserError) as caught:
        check_composition(arguments)
    assert str(caught.value) == "--config-name ablatoins: there is no such sweep. Did you mean 'ablations'?"


def test_a_sweep_like_no_other_lists_them() -> None:
    Plugins.instance().register(Experiments)
    with pytest.raises(UserError, match=r"xyzzyx: there is no such sweep\. Valid: ablations, .*seeds, .*vector_size"):
        check_composition(["-m", "--config-name", "xyzzyx"])


def test_an_unknown_sweep_is_one_message_and_exit_code_2(skufp: Run, tmp_path: Path) -> None:
    done = skufp("-m", "--config-name", "seedz", "data=synthetic", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: --config-name seedz: there is no such sweep. Did you mean 'seeds'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []  # told before anything ran


def test_settings_of_a_sweep_are_checked_as_any_others() -> None:
    Plugins.instance().register(Experiments)
    with pytest.raises(UserError, match=r"no setting 'sede'\. Did you mean 'seed'\?"):
        check_composition(["-m", "--config-name", "seeds", "sede=1"])


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("shop.link=https://shop.example/p/{handle}", "https://shop.example/p/{handle}"),
        ("data.root=photos (old), new/", "photos (old), new/"),
        ("data.manifest=C:\\shop\\a'b.csv", "C:\\shop\\a'b.csv"),
    ],
)
def test_text_that_hydra_cannot_read_is_meant_as_it_is(argument: str, said: str) -> None:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config", [literal(argument)])
    assert OmegaConf.select(cfg, argument.partition("=")[0]) == said


@pytest.mark.parametrize("argument", ["model=lite", "ablation=none,mean_pool", "data.gallery=[train", "stage", "-m"])
def test_what_hydra_reads_or_nobody_is_left_alone(argument: str) -> None:
    assert literal(argument) == argument
