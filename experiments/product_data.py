"""The product data section of RESULTS.md, from summaries of stage=describe's reports."""

from pathlib import Path
from typing import Any

from experiments import collect, tables

INTRO = (
    "`stage=describe` writes every product's attributes, copy and feeds. Attributes are scored by what the pictures"
    " alone say, on products whose labels calibrated nothing, beside the majority of the labels; *said* is the share of"
    " products that got a value, *right* the share of these that fits the label. A field of the copy counts as the"
    " model's where the fact checker let its answer pass; the template wrote the others. Times are those of the run,"
    " on a noisy two-core machine."
)
WRITERS = {"local": "llama.cpp on this machine", "openai": "a language model's server", "template": "the template"}
BENCHMARK = Path(__file__).resolve().parent / "results" / "benchmarks" / "product_copy.json"
Row = dict[str, Any]


def described(runs: Path) -> dict[str, Row]:
    """Return {file name: summary} of every catalogue that a sweep described; of two the latest counts."""
    found = {}
    for sweep in collect.sweep_folders(runs):
        for job in collect.finished_jobs(sweep, "describe", "report.json"):
            report = collect.read_json(Path(job["folder"]) / "report.json")
            exports = report.pop("exports")
            report["exports"] = {"rows": exports["rows"], "invalid": len(exports["problems"])}
            report["run"]["data"] = collect.data_of(job, report["run"])
            name = collect.file_name("product_data", *report["run"].values())
            found[name] = {"sweep": "product_data", "product_data": report}
    return found


def section(summaries: list[Row]) -> list[str]:
    """Return the parts of RESULTS.md: attributes once for each catalogue and model, then each writer's copy."""
    parts = ["## Product data", INTRO]
    of_encoder: dict[tuple[str, str], list[Row]] = {}
    for s in summaries:
        found = s["product_data"]
        of_encoder.setdefault((found["run"]["data"], found["run"]["model"]), []).append(found)
    for (data, model), reports in of_encoder.items():
        parts += [f"### {data} · {model}", attributes_table(reports[0]["attributes"]), copy_table(reports)]
    return [*parts, *speed()]


def speed() -> list[str]:
    """Return the benchmark's products per hour with one and with more concurrent requests; empty without it."""
    if not BENCHMARK.exists():
        return []
    found = collect.read_json(BENCHMARK)
    rates = ", ".join(f"{name}: {run['products_per_hour']:,.0f}" for name, run in found["runs"].items())
    sizes = found["sizes"]
    about = f"{sizes['products']} products, {sizes['model']}, {sizes['threads']} threads"
    return ["### Products an hour", f"`experiments/benchmarks/product_copy.py` ({about}): {rates}."]


def attributes_table(found: Row) -> str:
    """Every labelled attribute's scores beside the majority's."""
    rows = []
    for name, row in found["attributes"].items():
        base = row["majority"]
        right = f"{row['precision']:.0%}" if row["coverage"] else "-"
        rows.append([
            name, str(row["labelled"]), row["evidence"], f"{row['coverage']:.0%}", right, f"{row['macro_f1']:.2f}",
            f"{base['value']}: {base['accuracy']:.0%}", f"{base['macro_f1']:.2f}",
        ])  # fmt: skip
    head = ["attribute", "labelled", "evidence", "said", "right", "macro-F1", "majority: right", "its macro-F1"]
    return tables.table(head, rows)


def copy_table(reports: list[Row]) -> str:
    """Return the writers' shares, the times, and the completeness of the products."""
    fields = list(reports[0]["written_by"])
    rows = [
        ["products described", *(f"{r['described']} of {r['products']}" for r in reports)],
        [
            "rows of exports, invalid",
            *(f"{sum(e['rows'].values())}, {e['invalid']}" for e in (r["exports"] for r in reports)),
        ],
        ["fields by the model", *(f"{r['fields_by_model']:.0%}" for r in reports)],
    ]
    for name in fields:
        rows.append([f"… {name.replace('_', ' ')}", *(share(r["written_by"][name]) for r in reports)])
    same = [sum(r["word_for_word_the_template"].values()) for r in reports]
    rows.append(["the model's, but word for word the template's", *map(str, same)])
    rows += [
        ["seconds a product", *(f"{r['timing'].get('seconds_per_product', float('nan')):.2f}" for r in reports)],
        ["schema filled before", *(f"{r['completeness']['before']:.0%}" for r in reports)],
        ["schema filled after", *(f"{r['completeness']['after']:.0%}" for r in reports)],
    ]
    return tables.table(["", *(r["run"]["llm"] for r in reports)], rows)


def share(written: dict[str, int]) -> str:
    return f"{written.get('model', 0) / max(sum(written.values()), 1):.0%}"


def in_short(summary: Row) -> str:
    """Return the results of one catalogue's description in a line."""
    found = summary["product_data"]
    run, timing = found["run"], found["timing"]
    best = ", ".join(
        f"{name} {row['macro_f1']:.2f} ({row['majority']['macro_f1']:.2f})"
        for name, row in found["attributes"]["attributes"].items()
    )
    said = f"{run['data']} · {run['model']}, copy by {WRITERS[run['llm']]}: {found['described']} products,"
    said += f" {found['exports']['invalid']} invalid rows"
    if run["llm"] == "template":
        return f"{said}; macro-F1 of attributes from pictures (of the majority): {best}"
    share_of_model, seconds = found["fields_by_model"], timing["seconds_per_product"]
    return f"{said}; {share_of_model:.0%} of the copy's fields are the model's, {seconds:.1f} s a product"
