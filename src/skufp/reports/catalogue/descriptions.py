"""The report of a catalogue's description: the writers' shares, timing, and values missing in the exports."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skufp.artifacts.folder import read_json
from skufp.output import styled
from skufp.reports.catalogue.attributes import print_attributes

if TYPE_CHECKING:
    from skufp.catalogue.described import Described
    from skufp.catalogue.exports import ExportReport
    from skufp.catalogue.template import Template
    from skufp.catalogue.vocabulary import Vocabulary

OWN_FIELDS = ("brand", "price", "currency", "gtin", "size", "gender", "link", "availability")  # required by channels
HOUR = 3600


def report(
    vocabulary: "Vocabulary",
    products: "list[Described]",
    timing: dict[str, Any],
    template: "Template",
    exported: "ExportReport",
    attributes: dict[str, Any],
) -> dict[str, Any]:
    """Return report.json; ``timing`` has this run's seconds and the products' sources (bulk.py)."""
    from skufp.catalogue.attribute_metrics import completeness
    from skufp.catalogue.metadata import FIELDS

    good = [p for p in products if p.copy]
    writers = {name: dict(Counter(p.written_by.get(name, "manifest") for p in good)) for name in FIELDS}
    by_model = sum(row.get("model", 0) for row in writers.values())
    new = timing.get("described", 0)
    complete = completeness([p.facts for p in good], vocabulary, ["category", *OWN_FIELDS], FIELDS)
    return {
        "products": len(products), "described": len(good), "errors": {p.sku_id: p.error for p in products if p.error},
        "fields_by_model": by_model / (len(FIELDS) * len(good)) if good else 0.0,
        "word_for_word_the_template": echoes(good, template),
        "written_by": writers,
        "why_the_template": _reasons(good),
        "timing": timing | ({
            "seconds_per_product": timing["seconds"] / new, "products_per_hour": HOUR * new / timing["seconds"],
        } if new else {}),
        "completeness": asdict(complete),
        "attributes": {name: attributes[name] for name in ("scored_on", "attributes", "without_labels")},
        "exports": {**exported.to_dict(), "lines": exported.lines()},
    }  # fmt: skip


def echoes(products: "list[Described]", template: "Template") -> dict[str, int]:
    """Count the model's fields that equal the template's word for word, which gain nothing."""
    from skufp.catalogue.described import MODEL

    return dict(Counter(
        name for p in products for name, by in p.written_by.items()
        if by == MODEL and getattr(p.copy, name) == template.field(name, p.facts)
    ))  # fmt: skip


def _reasons(products: "list[Described]") -> list[dict[str, Any]]:
    """Return the most frequent notes of each field."""
    found = Counter((name, note) for p in products for name, note in p.notes.items())
    return [{"field": name, "note": note, "products": count} for (name, note), count in found.most_common(20)]


def print_report(folder: Path, console: Console) -> None:
    """Print the main results; report.json has the rest."""
    found = read_json(folder / "report.json")
    print_attributes(found["attributes"], console)
    timing, complete = found["timing"], found["completeness"]
    origin = ", ".join(f"{timing[k]} {k}" for k in ("described", "cache", "journal", "failed") if timing.get(k))
    described = (f"\n{found['described']}", "bold")
    console.print(styled(described, f" of {found['products']} products are described ({origin})"))
    if "seconds_per_product" in timing:
        rate = f"{timing['seconds_per_product']:.2f} s a product, {timing['products_per_hour']:,.0f} an hour"
        console.print(f"{rate} ({timing['concurrency']} at once)")
    if any("model" in row for row in found["written_by"].values()):
        shares = ", ".join(
            f"{name} {row.get('model', 0) / sum(row.values()):.0%}" for name, row in found["written_by"].items()
        )
        console.print(f"the model wrote {found['fields_by_model']:.0%} of the copy ({shares}), the template the rest")
        if same := found["word_for_word_the_template"]:
            each = ", ".join(f"{count} x {name}" for name, count in same.items())
            console.print(f"  word for word what the template would have written: {each}")
    console.print(
        f"completeness: {complete['before']:.0%} of the products' schema was filled before,"
        f" {complete['after']:.0%} is now ({', '.join(f'{n} by {by}' for by, n in complete['filled'].items())})"
    )
    for sku, reason in list(found["errors"].items())[:5]:
        console.print(styled(("no copy", "yellow"), f" for {sku}: {reason}"), soft_wrap=True)
    for line in found["exports"]["lines"]:
        console.print(f"  {line}", style="bold red" if line.startswith("INVALID") else None, soft_wrap=True)
    console.print(f"tables, feeds, cards.html, report.json: {folder}", soft_wrap=True)
