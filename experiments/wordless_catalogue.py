"""Text search in a catalogue without any words: vectors alone against words that were read off the photos.

python -m experiments.wordless_catalogue <folder of luma_df2> [setting …]   prints a table and writes
experiments/results/wordless-luma-lite.json. The catalogue photos of the split validation become a folder of photos
without labels, and a bundle of them is asked "<colour> <category>" for every SKU; colours and categories are the data
set's own. Nothing is trained, so the encoder knows no words and vectors answer by chance. Relevance@5 is the share of
the five first answers of that very colour and category. Intervals resample SKUs.
"""

import json
import shutil
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import skufp
from skufp.artifacts.products import read_products
from skufp.artifacts.records import CATALOG, read_records
from skufp.retrieval.bootstrap import interval

OUT = Path(__file__).resolve().parent / "results"
LABEL, MODEL, SPLIT = "luma", "lite", "validation"
MODES = ("vector", "words", "hybrid")
UNTRAINED = ("aggregator=mean", "model.training.steps=0", "trainer=cpu", "progress=false", f"model={MODEL}")


def main() -> None:
    """Measure and write."""
    root, settings = Path(sys.argv[1]).resolve(), sys.argv[2:]
    prepared = skufp.run("prepare", ["data=deepfashion2", f"data.root={root}", f"data.label={LABEL}", *settings])
    with tempfile.TemporaryDirectory() as folder:
        photos = copy_photos(prepared, Path(folder) / "photos")
        own = ["data=folder", f"data.root={photos}", "data.label=wordless", "stages.bundle.attributes=true"]
        bundle = skufp.open(skufp.run("bundle", [*own, *UNTRAINED, *settings]))
        found = ask(bundle, {p.sku_id: p for p in read_products(prepared) if p.split == SPLIT})
    (OUT / f"wordless-{LABEL}-{MODEL}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['skus']} SKUs, {found['terms']} words read off their photos")
    for figure in ("mrr", "relevance@5"):
        for mode in MODES:
            row = found[mode][figure]
            print(f"{figure:12}{mode:8}{row['mean']:.3f}  minus vector's {row['minus_vector']['mean']:+.3f}"
                  f" [{row['minus_vector']['low']:+.3f}, {row['minus_vector']['high']:+.3f}]")  # fmt: skip


def copy_photos(prepared: Path, photos: Path) -> Path:
    """Copy the catalogue's crops into a folder for each SKU."""
    for record in read_records(prepared / f"{SPLIT}_image_text.jsonl"):
        if record.domain == CATALOG:
            (photos / record.sku_id).mkdir(parents=True, exist_ok=True)
            shutil.copy(prepared / record.image_path, photos / record.sku_id)
    return photos


def ask(bundle: Any, truth: dict[str, Any]) -> dict[str, Any]:
    """Return each mode's MRR and relevance@5, and their paired differences to vectors."""
    kind = {sku: (p.fields["colour"].casefold(), p.category_name) for sku, p in truth.items()}
    asked = sorted(set(bundle.parts.skus.sku_ids) & kind.keys())
    values = {mode: {"mrr": np.zeros(len(asked)), "relevance@5": np.zeros(len(asked))} for mode in MODES}
    for row, sku in enumerate(asked):
        for mode in MODES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the encoder has learnt no words is what is measured
                answer = bundle.search(text=" ".join(kind[sku]), top_k=len(bundle), mode=mode)
            answers = [result.sku_id for result in answer]
            values[mode]["mrr"][row] = 1 / (answers.index(sku) + 1 if sku in answers else len(bundle))
            values[mode]["relevance@5"][row] = np.sum([kind[other] == kind[sku] for other in answers[:5]]) / 5
    number = np.arange(len(asked))
    rows = {
        mode: {
            figure: {
                "mean": float(own.mean()), "minus_vector": asdict(interval(own - values["vector"][figure], number)),
            }
            for figure, own in figures.items()
        }
        for mode, figures in values.items()
    }  # fmt: skip
    return {"skus": len(asked), "terms": len(bundle.parts.word_index.vocabulary)} | rows


if __name__ == "__main__":  # stages start processes, which import this file
    main()
