"""The attributes' report: accuracy on held-out labels, and completeness of the products."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from skufp.artifacts.folder import read_json
from skufp.catalogue.readings import Catalogue, Reading
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.catalogue.facts import Facts
    from skufp.catalogue.vocabulary import Vocabulary

TEXT = ("attribute", "by", "majority")  # columns
UNRESOLVED = 10  # most frequent texts of the manifest that are not known values


def report(
    cfg: Config, vocabulary: "Vocabulary", catalogue: Catalogue, readings: list[Reading], facts: "list[Facts]"
) -> dict[str, Any]:
    """Return report.json: scores of every labelled attribute on data.queries, completeness of data.gallery."""
    from skufp.catalogue.attribute_metrics import completeness

    shown = [f for p, f in zip(catalogue.products, facts, strict=True) if p.split in list(cfg.data.gallery)]
    complete = completeness(shown, vocabulary, ["category"])
    scored = {r.evidence.attribute.key: scores(cfg, catalogue, r) for r in readings}
    return {
        "scored_on": cfg.data.queries,
        "attributes": {key: row for key, row in scored.items() if row["labelled"]},
        "without_labels": sorted(key for key, row in scored.items() if not row["labelled"]),
        "completeness": {"splits": list(cfg.data.gallery), **asdict(complete)},
        "not_in_vocabulary": [
            {"column": column, "text": text, "products": count}
            for (column, text), count in catalogue.unknown.most_common(UNRESOLVED)
        ],
        "overridden": sum(len(values) for values in catalogue.overrides.values()),
    }


def scores(cfg: Config, catalogue: Catalogue, reading: Reading) -> dict[str, Any]:
    """Return scores of the pictures alone on the labelled products of data.queries, beside the majority of the rest.

    A product in a probe's training set is scored by a probe trained without it.
    """
    from skufp.catalogue.attribute_metrics import majority, score
    from skufp.catalogue.scoring import calibration_error

    evidence, reader = reading.evidence, reading.reader
    split = [catalogue.products[row].split for row in evidence.rows]
    measured = [i for i, s in enumerate(split) if s == cfg.data.queries and reading.labels[i]]
    learnt = [reading.labels[i] for i, row in enumerate(evidence.rows) if catalogue.learns[row]]
    values = reader.accept(evidence.attribute, reading.log_probabilities, evidence.pixels)
    labels = [reading.labels[i] for i in measured]
    found = score([v.value if (v := values[i]) else None for i in measured], labels)
    most = [evidence.attribute.values[int(reading.log_probabilities[i].argmax())] for i in measured]
    sure = np.array([np.exp(reading.log_probabilities[i].max()) for i in measured])
    right = np.array([value in own for value, own in zip(most, labels, strict=True)], float)
    common, base = majority(learnt, labels)
    return {
        **asdict(found),
        "without_abstaining": asdict(score(most, labels)),
        "calibration_error": calibration_error(sure, right) if len(right) else 0.0,
        "majority": {"value": common, **asdict(base)},
        "calibrated_on": reader.labels,
        "evidence": "probe" if reader.probe else "prompts, pixels" if reader.pixel_weight else "prompts",
        "threshold": reader.threshold if np.isfinite(reader.threshold) else None,
    }


def print_report(path: Path, console: Console) -> None:
    """Print report.json with a table of the attributes."""
    found = read_json(path)
    print_attributes(found, console)
    complete = found["completeness"]
    filled = ", ".join(f"{count} by {source}" for source, count in complete["filled"].items())
    console.print(
        f"completeness of {complete['products']} products: {complete['before']:.0%} of category and attributes"
        f" before, {complete['after']:.0%} after ({filled or 'none'})"
    )
    for row in found["not_in_vocabulary"][:3]:
        console.print(f"  {row['column']} '{row['text']}' is no value of the vocabulary ({row['products']} products)")


def print_attributes(found: Mapping[str, Any], console: Console) -> None:
    """Print each labelled attribute's scores beside the majority's."""
    if found["attributes"]:
        title = f"Attributes from pictures alone, against the labels of {found['scored_on']}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
        for column in ("attribute", "labelled", "by", "said", "right", "macro-F1", "majority", "right", "macro-F1"):
            table.add_column(column, justify="left" if column in TEXT else "right", no_wrap=True)
        for key, row in found["attributes"].items():
            base = row["majority"]
            precision = f"{row['precision']:.0%}" if row["coverage"] else "-"
            table.add_row(
                key, str(row["labelled"]), row["evidence"], f"{row['coverage']:.0%}", precision,
                f"{row['macro_f1']:.2f}", base["value"], f"{base['accuracy']:.0%}", f"{base['macro_f1']:.2f}",
            )  # fmt: skip
        console.print(table)
    if found["without_labels"]:
        console.print(f"without labels, so not scored: {', '.join(found['without_labels'])}", style="dim")
