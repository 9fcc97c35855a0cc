"""The package from a wheel, and the answers that must be quick."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_wheel_finds_its_own_configuration(tmp_path):
    """Build the wheel, unpack it outside the checkout, and compose from it."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(REPOSITORY)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    assert (site / "skufp" / "conf" / "config.yaml").is_file()
    for name in ("py.typed", "reports/evaluation/page.html.j2", "reports/model_card.md.j2"):
        assert (site / "skufp" / name).is_file()
    result = subprocess.run(
        [sys.executable, "-P", "-m", "skufp", "--cfg", "job"], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(site), "PATH": ""},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "stage: evaluate" in result.stdout


def test_help_lists_stages_and_choices(skufp, tmp_path):
    result = skufp("--help", cwd=tmp_path)
    assert result.returncode == 0
    for word in ("prepare", "fingerprint", "siglip_tiny", "ablation"):
        assert word in result.stdout
    paragraph = result.stdout.partition("Stages: ")[2].partition("\n\n")[0]
    stages = {path.stem for path in (REPOSITORY / "conf" / "stages").glob("*.yaml")}
    assert {name.strip() for name in paragraph.split(",")} == stages


def test_settings_print_without_running(skufp, tmp_path):
    result = skufp("--cfg", "job", "model=siglip", cwd=tmp_path)
    assert result.returncode == 0
    assert "google/siglip2-base-patch16-224" in result.stdout
    assert not (tmp_path / "runs").exists()


def test_help_and_settings_import_no_heavy_package():
    heavy = ("torch", "transformers", "pytorch_lightning")
    code = f"import sys, skufp.__main__; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
