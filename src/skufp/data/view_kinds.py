"""Kinds of catalogue view, the augmenter's conditions, by DeepFashion2's viewpoint and zoom-in codes."""

from collections.abc import Mapping, Sequence

from skufp.errors import UserError, nearest

CODES = ("viewpoint", "zoom_in")
OTHERWISE = "front"


class ViewKinds:
    """Kinds of view by name; a kind's id is its place in ``table``.

    ``table`` is `augmenter.actions`: for every kind the codes that its views have, e.g. {zoom: {zoom_in: [2, 3]},
    front: {viewpoint: [2]}}. A view is of the first kind whose codes all match. A view that matches none (its codes are
    unknown) is of the kind ``front``, or of the first kind if there is no ``front``. Raises UserError for a table
    without kinds, with codes other than CODES, or with a kind that has no codes.
    """

    def __init__(self, table: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
        if not table:
            raise UserError("augmenter.actions names no kind of view; write at least front: {viewpoint: [2]}")
        for name, conditions in table.items():
            _check(name, conditions)
        self.names = list(table)
        self._table = {name: {code: frozenset(v) for code, v in codes.items()} for name, codes in table.items()}
        self._otherwise = OTHERWISE if OTHERWISE in self._table else self.names[0]

    def __len__(self) -> int:
        return len(self.names)

    def of(self, viewpoint: int, zoom_in: int) -> str:
        """Return the kind of a view by its record's codes."""
        found = {"viewpoint": viewpoint, "zoom_in": zoom_in}
        for name, conditions in self._table.items():
            if all(found[code] in values for code, values in conditions.items()):
                return name
        return self._otherwise

    def id(self, name: str) -> int:
        """Return a kind's id; UserError where there is no such kind."""
        if name not in self._table:
            raise UserError(f"augmenter.actions: there is no '{name}'.{nearest(name, self.names)}")
        return self.names.index(name)


def _check(name: str, conditions: Mapping[str, Sequence[int]]) -> None:
    where = f"augmenter.actions.{name}"
    if not isinstance(conditions, Mapping) or not conditions:
        raise UserError(f"{where}={conditions!r} says nothing of its views; write e.g. {name}: {{viewpoint: [2]}}")
    for code, values in conditions.items():
        if code not in CODES:
            raise UserError(f"{where}: views have no '{code}'.{nearest(code, CODES)}")
        if not isinstance(values, Sequence) or not values or not all(isinstance(v, int) for v in values):
            raise UserError(f"{where}.{code}={values!r} is no list of codes; write e.g. {code}: [2, 3]")
