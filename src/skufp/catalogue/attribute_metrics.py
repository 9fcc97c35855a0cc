"""Metrics of attributes against labels, and the completeness of the products' schema."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skufp.catalogue.facts import MANIFEST, OVERRIDE, Facts
from skufp.catalogue.vocabulary import Vocabulary


@dataclass(frozen=True)
class Scores:
    """One attribute against the labels of ``labelled`` products.

    ``coverage``: the share with a predicted value. ``precision``: the share of predicted values that is right (0 if
    there are none). ``accuracy``: the share of all products that is right. ``macro_f1``: the mean F1 of the values that
    occur among the labels.
    """

    labelled: int
    coverage: float
    precision: float
    accuracy: float
    macro_f1: float


def score(predicted: Sequence[str | None], labels: Sequence[Sequence[str]]) -> Scores:
    """Score ``predicted`` values [N], None for an abstention, against ``labels`` [N].

    Each label is a list of the product's true values, the main value first. A prediction among them is a hit of that
    value; a wrong prediction, or none, is a miss of the main value. Products without a label are left out.
    """
    rows = [(p, list(true)) for p, true in zip(predicted, labels, strict=True) if true]
    expected = [p if p in true else true[0] for p, true in rows]
    hits = Counter(p for (p, _), e in zip(rows, expected, strict=True) if p == e)
    predictions, true_of = Counter(p for p, _ in rows if p is not None), Counter(expected)
    f1 = [2 * hits[value] / (predictions[value] + true_of[value]) for value in true_of]
    right, answered = hits.total(), predictions.total()
    return Scores(
        len(rows),
        answered / len(rows) if rows else 0.0,
        right / answered if answered else 0.0,
        right / len(rows) if rows else 0.0,
        sum(f1) / len(f1) if f1 else 0.0,
    )


def majority(train: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]) -> tuple[str | None, Scores]:
    """Return the most frequent main value of ``train`` labels and its scores as the prediction for every product."""
    counts = Counter(true[0] for true in train if true)
    value = min(counts, key=lambda v: (-counts[v], v)) if counts else None
    return value, score([value] * len(labels), labels)


@dataclass(frozen=True)
class Completeness:
    """Shares of schema fields that are filled, over ``fields`` of all ``products``, and their sources.

    ``before``: by the manifest alone; ``after``: with attributes and copy. ``filled`` counts the fields filled after,
    by source: the manifest, an override, evidence (probe, prompt or pixels), or copy.
    """

    products: int
    fields: int
    before: float
    after: float
    filled: dict[str, int]


EVIDENCE, COPY = "evidence", "copy"


def completeness(
    facts: Iterable[Facts], vocabulary: Vocabulary, own_fields: Sequence[str], copy_fields: Sequence[str] = ()
) -> Completeness:
    """Measure how much of the products' schema is filled, before and after.

    A product's schema is ``own_fields`` (title, brand, price, …), ``copy_fields`` that were written for every product,
    and the attributes of its category. A manifest's column fills the attribute that it names, in any known spelling.
    """
    filled: Counter[str] = Counter()
    schema = {*own_fields, *copy_fields}
    products = fields = before = 0
    for product in facts:
        category = vocabulary.category(product.category)
        own = {name for name, text in product.fields.items() if text.strip()}
        for name in schema:
            before += name in own
            if name in own or name in copy_fields:
                filled[MANIFEST if name in own else COPY] += 1
        for name, attribute in category.attributes.items():
            value, column = product.attributes.get(name), bool(attribute.columns(own))
            before += column
            if value is not None:
                filled[value.source if value.source in (MANIFEST, OVERRIDE) else EVIDENCE] += 1
            elif column:
                filled[MANIFEST] += 1
        products += 1
        fields += len(schema) + len(category.attributes)
    share = (before / fields, filled.total() / fields) if fields else (0.0, 0.0)
    return Completeness(products, fields, *share, dict(filled))
