"""Turn finished evaluation runs into experiments/RESULTS.md and README's results table.

python experiments/report.py [runs]   reads <runs>/evaluate/*/ (default: runs), keeps a summary of each in
experiments/results/, and writes both tables from those summaries.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SUMMARIES = HERE / "results"
README = HERE.parent / "README.md"
PROMPTS = (
    "DeepFashion2's template prompts name a category and how it is seen, not one SKU; the generated catalogue's also"
    " name colours and pattern."
)
HEAD = (
    "data · model · ablation", "split: queries of SKUs, gallery", "method", "R@1", "R@5", "R@10",
    "MRR [95 % over SKUs]", "MRR minus the mean's",
)  # fmt: skip


def summary(folder: Path) -> dict[str, Any]:
    """What the tables need of one evaluation run."""
    metrics = json.loads((folder / "metrics.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    wall = manifest["wall_seconds"]
    for stage, key in chain(folder.parent.parent, manifest["inputs"]).items():
        wall += json.loads((folder.parent.parent / stage / key / "manifest.json").read_text())["wall_seconds"]
    keep = ("run", "queries", "gallery", "image", "text", "latency")
    return {key: metrics[key] for key in keep} | {"folder": folder.name, "wall_seconds_all_stages": round(wall)}


def chain(runs: Path, inputs: dict[str, str]) -> dict[str, str]:
    """Folder names of all stages upstream."""
    found: dict[str, str] = {}
    for stage, key in inputs.items():
        for folder in (runs / stage).glob(f"*-{key}"):
            manifest = json.loads((folder / "manifest.json").read_text())
            found |= chain(runs, manifest["inputs"]) | {stage: folder.name}
    return found


def title(row: dict[str, Any]) -> str:
    """Data, model and ablation."""
    return f"{row['run']['data']} · {row['run']['model']} · {row['run']['ablation']}"


def table(rows: list[dict[str, Any]], kind: str) -> list[str]:
    """One Markdown table: every method of every run."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in rows:
        q, g = row["queries"], row["gallery"]
        count = q["images"] if kind == "image" else q["texts"]
        where = f"{q['split']}: {count} of {q['skus']}, {g['skus']}"
        for name, m in row[kind].items():
            i, d = m["interval"]["mrr"], m.get("minus_mean", {}).get("mrr")
            gain = f"{d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]" if d else ""
            label = f"{row['run']['aggregator']} {name}" if name == "fingerprint" else name
            lines.append(
                f"| {title(row)} | {where} | {label} | {m['recall@1']:.3f} | {m['recall@5']:.3f} |"
                f" {m['recall@10']:.3f} | {m['mrr']:.3f} [{i['low']:.3f}, {i['high']:.3f}] | {gain} |"
            )
    return lines


def time_line(row: dict[str, Any]) -> str:
    """How long a run's stages took, and one query."""
    encode, search = (row["latency"][part]["p50_ms"] for part in ("encode", "search"))
    return (
        f"- {title(row)} ({row['queries']['split']}): all stages {row['wall_seconds_all_stages']} s; one query on one"
        f" CPU thread, medians: encode {encode:.1f} ms, search {search:.3f} ms"
    )


def write(rows: list[dict[str, Any]]) -> None:
    """Write RESULTS.md and the table between README's marks."""
    photo, text = table(rows, "image"), table(rows, "text")
    times = [time_line(row) for row in rows]
    said = "Written by `python experiments/report.py` from the summaries in `experiments/results/`; do not edit."
    legend = (
        "`synthetic` is the generated catalogue: drawn photos, and a gap between mean and multi-vector that exists by"
        " construction (docs/generated-catalogue.md). `deepfashion2` is here the Luma demo catalogue in DeepFashion2"
        " layout: real product photos, *simulated user photos*. All methods of a run share gallery and queries."
    )
    parts = [
        "# Results", said, legend, "## Photo → SKU", "\n".join(photo), "## Text → SKU (template prompts)",
        PROMPTS, "\n".join(text), "## Times (a noisy two-core machine)",
        "\n".join(times),
    ]  # fmt: skip
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    block = "\n".join(["", legend, "", *photo, "", "More in [experiments/RESULTS.md](experiments/RESULTS.md).", ""])
    readme = README.read_text(encoding="utf-8")
    readme = re.sub(r"(<!-- results:.*?-->).*?(<!-- /results -->)", lambda m: m[1] + block + m[2], readme, flags=re.S)
    README.write_text(readme, encoding="utf-8")


def main() -> None:
    """Collect, keep, write."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    SUMMARIES.mkdir(exist_ok=True)
    for metrics in sorted(runs.glob("evaluate/*/metrics.json")):
        row = summary(metrics.parent)
        name = "-".join([*(row["run"][k] for k in ("data", "model", "ablation")), row["queries"]["split"]]) + ".json"
        (SUMMARIES / name).write_text(json.dumps(row, indent=1) + "\n")
    rows = [json.loads(p.read_text()) for p in sorted(SUMMARIES.glob("*.json"))]
    if not rows:
        sys.exit(f"no finished evaluation under {runs}/evaluate: run `python -m skufp` first")
    write(rows)
    print(f"{len(rows)} runs -> {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
