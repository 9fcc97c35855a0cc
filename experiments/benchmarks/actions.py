"""The cost of each query action, and of the policy's features, relative to decoding the photo.

python experiments/benchmarks/actions.py [--selfie selfie_segmentation.tflite]   prints a table and writes
experiments/results/benchmarks/actions.json. Generated user photos at 512 x 512, one thread, medians over photos and
rounds, in CPU time, and everything takes turns on a photo: neighbours on the machine disturb little and all alike.
Photos that an action leaves unchanged do not count for it; the share of changed photos is printed.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}  # before numpy

import cv2
import numpy as np
from omegaconf import OmegaConf

from skufp.actions.background import Background
from skufp.actions.quality import FEATURES, quality
from skufp.config import build
from skufp.data.synthetic import CatalogueParams, draw, plan

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "experiments" / "results" / "benchmarks" / "actions.json"
SIDE, PHOTOS, ROUNDS = 512, 40, 5
BUDGET_MS, FEATURES_BUDGET_MS = 15.0, 3.0


def photos() -> list[np.ndarray]:
    """Draw user photos of the generated catalogue; each as its JPEG file's bytes."""
    params = CatalogueParams(width=SIDE, height=SIDE, pairs={"train": 40, "validation": 0, "test": 0}, defects=False)
    planned = [image for image in plan(params) if image.source == "user"][:PHOTOS]
    return [np.frombuffer(draw(image, params)[0], np.uint8) for image in planned]


def decode(file: np.ndarray) -> np.ndarray:
    """Return the RGB photo of a JPEG file."""
    return cv2.imdecode(file, cv2.IMREAD_COLOR_RGB)


def measure(steps: dict[str, Callable[[np.ndarray], Any]], files: list[np.ndarray]) -> dict[str, list[float]]:
    """Return the milliseconds of every step that did something, and of decoding."""
    spent: dict[str, list[float]] = {name: [] for name in ("decode", *steps)}
    for turn in range(ROUNDS + 1):
        for file in files:
            start = time.thread_time()
            photo = decode(file)
            took = {"decode": time.thread_time() - start}
            for name, step in steps.items():
                start = time.thread_time()
                edited = step(photo)
                if edited is not photo or name == "identity":
                    took[name] = time.thread_time() - start
            if turn:  # the first round warms up
                for name, seconds in took.items():
                    spent[name].append(1000 * seconds)
    return spent


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--selfie", help="also measure background with method=selfie and these weights")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    specs = OmegaConf.load(ROOT / "conf" / "actions" / "default.yaml").actions
    steps: dict[str, Callable[[np.ndarray], Any]] = {name: build(spec) for name, spec in specs.items()}
    if options.selfie:
        steps["background, selfie"] = Background(method="selfie", weights=options.selfie)
    files = photos()
    spent = measure(steps | {"features": quality}, files)
    decoding = float(np.median(spent["decode"]))
    table = {
        name: {
            "median_ms": round(float(np.median(ms)), 3) if ms else None,
            "p95_ms": round(float(np.quantile(ms, 0.95)), 3) if ms else None,
            "over_decode": round(float(np.median(ms)) / decoding, 3) if ms else None,
            "acted_share": round(len(ms) / (ROUNDS * len(files)), 3),
        }
        for name, ms in spent.items()
    }
    setting = {"side": SIDE, "photos": len(files), "rounds": ROUNDS, "threads": 1, "features": len(FEATURES),
               "budget_ms": BUDGET_MS, "features_budget_ms": FEATURES_BUDGET_MS, "opencv": cv2.__version__}  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"setting": setting, "steps": table}, indent=1) + "\n")
    print(f"{'':20}{'median ms':>10}{'p95 ms':>10}{'x decode':>10}{'acted':>8}")
    for name, row in table.items():
        numbers = "".join(
            f"{row[k] if row[k] is not None else '-':>10}" for k in ("median_ms", "p95_ms", "over_decode")
        )
        over = (row["median_ms"] or 0) > (FEATURES_BUDGET_MS if name == "features" else BUDGET_MS)
        print(f"{name:20}{numbers}{row['acted_share']:>8.0%}{'  over its budget' if over else ''}")


if __name__ == "__main__":
    main()
