"""The table of text search by vectors, by words and by both, in the terminal."""

from typing import Any

from rich.table import Table

from skufp.reports.evaluation.table import STYLE, difference
from skufp.retrieval.evaluation.simulated_texts import NAMES
from skufp.retrieval.evaluation.text_search import ORDER, SHOWN


def words_table(found: dict[str, Any]) -> Table:
    """Return R@1, R@5 and MRR of each kind of text in each mode, beside what is possible."""
    table = Table(title="Text → SKU by vectors, by words and by both (hybrid)", **STYLE)
    table.caption = "\n".join([*word_lines(found), ""])
    for name in ("texts", "mode", "R@1", "R@5", "MRR", "MRR minus vector's"):
        table.add_column(name, justify="left" if name in ("texts", "mode") else "right", no_wrap=True)
    for kind, row in found["kinds"].items():
        name = f"{NAMES[kind]} ({row['texts']})"
        for mode in ORDER:
            own = row[mode]
            change = difference(own["minus_vector"]["mrr"]) if own["minus_vector"] else ""
            table.add_row(
                name, mode, *(f"{own[k]:.3f}" for k in SHOWN), change, style="bold" if mode == "hybrid" else ""
            )
            name = ""
        table.add_row("", "at best", *(f"{row['best'][k]:.3f}" for k in SHOWN), "", style="dim")
    return table


def word_lines(found: dict[str, Any]) -> list[str]:
    """Say what the texts are, what bounds them, and where the weight of words comes from."""
    chosen = (
        f"chosen with {found['dev_queries']} dev texts" if found["dev_queries"] else "the default: too few dev SKUs"
    )
    lines = ["all texts but labels are simulated from what the source says; intervals are over SKUs"]
    lines.append("at best: guessing among the SKUs of equal title, colour, category and attributes")
    guesses = [f"{NAMES[kind]} {row['guess']:.3f}" for kind, row in found["kinds"].items() if row["guess"] is not None]
    if guesses:
        lines.append(f"R@1 of guessing among the SKUs with all of a text's words: {', '.join(guesses)}")
    return [*lines, f"words count {found['weight']:.2f} in hybrid ({chosen})"]
