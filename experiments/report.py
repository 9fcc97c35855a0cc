"""Turn finished sweeps into experiments/RESULTS.md, its figures and README's results table.

python -m experiments.report [runs]   reads <runs>/sweeps/ (default: runs), keeps a summary of each sweep in
experiments/results/, and writes everything from those summaries. No figure is typed by hand.
"""

import re
import sys
from pathlib import Path
from typing import Any

from experiments import (
    figures,
    generated_views,
    policy_table,
    product_data,
    query_policy,
    summaries,
    tables,
    views_table,
)
from experiments.collect import file_name, summarise, sweeps

HERE = Path(__file__).resolve().parent
SUMMARIES = HERE / "results"
README = HERE.parent / "README.md"
SAID = "Written by `python -m experiments.report` from the summaries in `experiments/results/`; do not edit."
LEGEND = (
    "`synthetic…` is the generated catalogue: drawn photos, and a gap between mean and multi-vector that exists by"
    " construction (docs/generated-catalogue.md). `luma` is the Luma demo catalogue in DeepFashion2"
    " layout: real product photos, *simulated user photos*. All methods share gallery and queries. Values are averaged"
    " over seeds (of folds and aggregator, one retriever) query by query; intervals resample SKUs. *Gap closed* is the"
    " share of the distance from the mean to keeping every view, and n/a where that distance is not above 0 with 95 %."
)
ORACLES = (
    "Semi-oracle: a SKU's best view is chosen on half of its evaluation queries and scored on the other half."
    " Oracle: chosen and scored on the same queries. Both use evaluation queries, so neither is usable in practice."
)
PROMPTS = (
    "Texts are template prompts: DeepFashion2's name a category and a view, not one SKU; the generated"
    " catalogue's also name colours and pattern."
)
APART = ("generated_views", "query_policy", "product_data")  # what has a section of its own kind
SWEEPS = {
    "seeds": "", "ablations": "## Ablations", "ablation": "## Ablations (one command)",
    "aggregators": "## Aggregators", "folds": "## Folds of teacher selection", "vector_size": "## Smaller vectors",
    "views": "## Views", "text": "## Training texts",
}  # fmt: skip


def verdict(s: dict[str, Any]) -> str:
    """Return whether the fingerprint beats the mean and, if not, the amount of training data."""
    row = s["variants"][0]
    m, teacher = row["image"]["fingerprint"], row["teacher"]
    gain = m["minus_mean"]["mrr"]
    said = f"- {tables.setting(s)}: fingerprint minus mean, MRR {tables.ranged(gain, '+')}"
    gap = row["image"]["multi_vector"]["minus_mean"]["mrr"]
    if gain["low"] > 0:
        closed = m["gap_closed"]["mrr"]
        if closed is None:
            return f"{said}: **better**; the distance from mean to multi-vector is {tables.ranged(gap, '+')}."
        return f"{said}: **better**, and {tables.share(closed)} of the gap to multi-vector is closed."
    proof = row["proof"]
    single = row["views"].get("1", {"queries": 0})["queries"] / max(row["queries"]["images"], 1)
    worse = "**worse**" if gain["high"] < 0 else "**no measurable difference**"
    return (
        f"{said}: {worse}. {kept(proof)} {100 * single:.0f} % of the queries are of SKUs with one view,"
        f" whose fingerprint is their mean by construction; {teacher.get('skus_with_teacher', 0)} of"
        f" {teacher.get('skus', 0)} train SKUs have a teacher, and the distance from mean to multi-vector is"
        f" {tables.ranged(gap, '+')}."
    )


def kept(proof: dict[str, Any]) -> str:
    """Return the fingerprint stage's decision, for the first seed, and its evidence."""
    if not proof:
        return "Nothing was trained."
    p = f", p = {proof['p']:.3f}" if "p" in proof else ""  # summaries of older runs have none
    what = "The trained aggregator was kept" if proof["trained_is_kept"] else "The mean was kept"
    return (
        f"{what} (first seed): training changed the reciprocal rank of {proof['queries']} left-out train and dev"
        f" queries by {proof['gain']:+.3f} (standard error {proof['standard_error']:.3f}{p})."
    )


def teacher_table(settings: list[dict[str, Any]]) -> str:
    """What the teacher stage found, of every setting's first seed."""
    reports = [s["variants"][0]["teacher"] for s in settings]
    several = [[part["skus_with_teacher"] for views, part in r["by_views"].items() if views != "1"] for r in reports]
    shares = [r["teacher_is_not_first_view"] for r in reports]  # None where no SKU has both
    rows = [
        ["SKUs", *(str(r["skus"]) for r in reports)],
        ["SKUs with teacher", *(str(r["skus_with_teacher"]) for r in reports)],
        ["SKUs with teacher and several views", *(str(sum(counts)) for counts in several)],
        ["of these, it is not the first view", *("" if v is None else f"{100 * v:.0f} %" for v in shares)],
        ["held-out queries", *(str(r["queries"]) for r in reports)],
    ]
    for base in ("first_view", "mean"):
        found = [r["cross_fitted"]["intervals"].get(f"gain_over_{base}") for r in reports]
        in_sample = [r["in_sample"][f"gain_over_{base}"] for r in reports]
        gain = f"gain in reciprocal rank over the {base.replace('_', ' ')}"
        rows.append([f"{gain}, cross-fitted", *(tables.ranged(i, "+") for i in found)])
        rows.append([f"{gain}, in sample (biased)", *("" if v is None else f"{v:+.3f}" for v in in_sample)])
    return tables.table(["of train, first seed", *map(tables.setting, settings)], rows)


def time_line(s: dict[str, Any]) -> str:
    """How long the stages of one run took, and one query."""
    row = s["variants"][0]
    encode, search = (row["latency"][part]["p50_ms"] for part in ("encode", "search"))
    return (
        f"- {tables.setting(s)}: all stages {row['wall_seconds_all_stages']} s; one query on one CPU thread, medians:"
        f" encode {encode:.1f} ms, search {search:.3f} ms"
    )


def picture(path: Path) -> str:
    return f"![{path.stem.replace('-', ' ')}](figures/{path.name})"


def main_section(seeds: list[dict[str, Any]]) -> list[str]:
    """Return the main comparison, every method, and the results by number of views."""
    parts = ["## One vector per SKU against the mean of views", tables.headline_table(seeds)]
    parts += ["\n".join(map(verdict, seeds)), "## Every method, photo → SKU", ORACLES]
    for s in seeds:
        row = s["variants"][0]
        parts += [f"### {tables.setting(s)}", tables.asked(row) + ".", tables.methods_table(row)]
    parts += ["## Every method, text → SKU", PROMPTS]
    for s in seeds:
        row = s["variants"][0]
        if row.get("text"):
            parts += [f"### {tables.setting(s)}", tables.asked(row, "text") + ".", tables.methods_table(row, "text")]
    parts += ["## By number of catalogue views", picture(figures.views(seeds, "views"))]
    for s in seeds:
        parts += [f"### {tables.setting(s)}", tables.views_table(s["variants"][0])]
    return [*parts, "## Teachers", teacher_table(seeds)]


def sweep_section(title: str, settings: list[dict[str, Any]]) -> list[str]:
    """A named sweep: one table and one figure for every setting it ran on."""
    parts = [title]
    for s in settings:
        name = file_name(s["sweep"], s["data"], s["model"], s["split"])
        parts += [f"### {tables.setting(s)}", tables.asked(s["variants"][0]) + ".", tables.variants_table(s)]
        parts.append(picture(figures.variants(s, name)))
        if s["sweep"] == "vector_size":
            parts += [picture(figures.sizes(s, f"{name}-bytes")), tables.sizes_table(s)]
    return parts


def views_section(settings: list[dict[str, Any]]) -> list[str]:
    """Return the effect of generated views on Recall@1, by number of real views, and their statistics."""
    parts = ["## Generated views", views_table.INTRO]
    for s in settings:
        found = s["generated_views"]
        name = file_name(s["sweep"], s["data"], s["model"], s["split"])
        parts += [f"### {tables.setting(s)}", tables.asked(s["variants"][0] | {"seeds": found["seeds"]}) + "."]
        parts += [bullets(views_table.verdicts(found)), picture(figures.arms(found, name))]
        for method, label in views_table.METHODS.items():
            parts += [f"{label[0].upper()}{label[1:]}:", views_table.arms_table(found, method)]
    parts.append("### What was drawn")
    parts.append("Distances are 1 - cosine similarity in the judge's space.")
    parts.append(views_table.drawn_table(settings))
    notes = [f"{tables.setting(s)}, {note}" for s in settings for note in views_table.notes(s["generated_views"])]
    return [*parts, bullets(notes)] if notes else parts


def policy_section(settings: list[dict[str, Any]]) -> list[str]:
    """Return the policy's effect on MRR, against every fixed action, chance and an oracle."""
    parts = ["## Query action policy", policy_table.INTRO]
    for s in settings:
        found = s["query_policy"]
        parts += [f"### {policy_table.title(s)}", policy_table.asked(found) + "."]
        parts += [bullets(policy_table.verdicts(found)), policy_table.choices_table(found)]
    return parts


def bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def write(found: list[dict[str, Any]]) -> None:
    """Write RESULTS.md, the figures, and the table between README's marks."""
    by_sweep: dict[str, list[dict[str, Any]]] = {}
    views, policies, catalogues = ([s for s in found if part in s] for part in APART)
    for s in (s for s in found if not any(part in s for part in APART)):
        by_sweep.setdefault(s["sweep"], []).append(s)
    seeds = by_sweep.pop("seeds", [])
    parts = ["# Results", SAID, LEGEND]
    if seeds:
        parts += main_section(seeds)
    if views:
        parts += views_section(views)
    if policies:
        parts += policy_section(policies)
    if catalogues:
        parts += product_data.section(catalogues)
    for name, settings in sorted(by_sweep.items(), key=lambda item: [*SWEEPS, item[0]].index(item[0])):
        parts += sweep_section(SWEEPS.get(name, f"## Sweep: {name}"), settings)
    if seeds:
        parts += ["## Times (a noisy two-core machine)", "\n".join(map(time_line, seeds))]
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    lines = [LEGEND, tables.headline_table(seeds), "\n".join(map(verdict, seeds))] if seeds else []
    if views:
        said = [f"{tables.setting(s)}: {line}" for s in views for line in views_table.in_short(s["generated_views"])]
        lines += ["Generated views against none:", bullets(said)]
    if policies:
        said = [f"{policy_table.title(s)}: {policy_table.in_short(s['query_policy'])}" for s in policies]
        lines += ["The query action policy against identity:", bullets(said)]
    if catalogues:
        lines += ["Product data:", bullets([product_data.in_short(s) for s in catalogues])]
    block = "\n\n".join(["", *lines, "More in [experiments/RESULTS.md](experiments/RESULTS.md).", ""])
    readme = README.read_text(encoding="utf-8")
    marks = r"(<!-- results:.*?-->).*?(<!-- /results -->)"
    written, found = re.subn(marks, lambda m: m[1] + block[1:-1] + m[2], readme, flags=re.S)
    if found != 1:
        sys.exit(f"{README}: found {found} blocks <!-- results: … --> … <!-- /results -->, where the table goes, not 1")
    README.write_text(written, encoding="utf-8")


def main() -> None:
    """Collect, keep, write."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    SUMMARIES.mkdir(exist_ok=True)
    for name, variants in sweeps(runs).items():
        summary = summarise(name, variants)
        if views := generated_views.compared(variants):
            summary["generated_views"] = views
        summaries.save(SUMMARIES / f"{file_name(*name)}.parquet", summary)
    for name, variants in query_policy.policies(runs).items():
        for variant in variants.values():
            file = f"{query_policy.file_name(name, variant.label)}.parquet"
            summaries.save(SUMMARIES / file, query_policy.summarise(name, variant))
    for name, summary in product_data.described(runs).items():
        summaries.save(SUMMARIES / f"{name}.parquet", summary)
    found = [summaries.load(p) for p in sorted(SUMMARIES.glob("*.parquet"))]
    if not found:
        sys.exit(f"no finished sweep under {runs}/sweeps: python -m skufp -m --config-name seeds")
    write(found)
    print(f"{len(found)} sweeps -> {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
