"""Every tunable number of the generated catalogue, in one frozen dataclass.

FROZEN: results are reported on these defaults. For another world add a second, named setting; never retune these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SPLITS = ("train", "validation", "test")


def _default_pairs() -> dict[str, int]:
    return {"train": 150, "validation": 150, "test": 60}


def _default_shop_views() -> dict[str, float]:
    return {
        "worn": 0.08,
        "flat": 0.06,
        "back": 0.24,
        "side": 0.10,
        "close": 0.06,
        "detail": 0.25,
        "folded": 0.21,
    }


def _default_user_views() -> dict[str, float]:
    return {"worn": 0.63, "back": 0.12, "side": 0.06, "flat": 0.13, "close": 0.06}


@dataclass(frozen=True)
class CatalogueParams:
    """The world the catalogue is drawn from; equal params give byte-equal files.

    Counts are per split, shares and probabilities are 0..1, ranges are (low, high),
    sizes are pixels unless noted.
    """

    seed: int = 0
    """Root of every random stream (seed, split, image index)."""
    pairs: Mapping[str, int] = field(default_factory=_default_pairs)
    """Pairs (product families) per split; each has one to four styles and one or two categories."""
    width: int = 256
    """Image width."""
    height: int = 320
    """Image height."""

    # -- structure: who has how many siblings, views and queries ------------------------------------
    style_weights: tuple[float, ...] = (0.47, 0.31, 0.15, 0.07)
    """P(1, 2, 3, 4 styles in a pair); gives about 65-70 % of queries a sibling style."""
    set_share: float = 0.18
    """Pairs that hold two categories (top and bottom, or outwear and a dress) in every style."""
    view_weights: tuple[float, ...] = (0.155, 0.115, 0.125, 0.125, 0.125, 0.105, 0.09, 0.07, 0.05, 0.04)
    """P(1..10 shop views of a SKU); median 4, about 15 % with one."""
    query_weights: tuple[float, ...] = (
        0.40, 0.22, 0.13, 0.08, 0.05, 0.03, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.005, 0.005,
    )  # fmt: skip
    """P(1..16 user photos of a queried SKU); 40 % have one, heavy tail."""
    distractor_share: float = 0.35
    """SKUs without any query; they stay in the gallery."""
    orphan_share: float = 0.02
    """SKUs with queries but no shop view (style > 0 without a mate)."""
    loose_share: float = 0.11
    """Extra images, relative to a split's images, whose only item has style 0."""
    two_item_share: float = 0.12
    """Worn photos of half-body garments that also label the second garment."""

    # -- looks: which views, and how hard the photos are --------------------------------------------
    shop_views: Mapping[str, float] = field(default_factory=_default_shop_views)
    """Mix of shop view kinds."""
    front_first_share: float = 0.90
    """P(the first shop view of a SKU is a worn or flat front)."""
    user_views: Mapping[str, float] = field(default_factory=_default_user_views)
    """Mix of user photo kinds; back and side are viewpoint 3, flat is viewpoint 1, close is zoom_in 3."""
    tag_share: float = 0.85
    """Detail and folded views with a care label, size chart or hang-tag on the cloth."""
    tag_size: tuple[float, float] = (0.6, 1.0)
    """Width of such a label relative to the frame (detail) or the pile (folded): views that tell little."""
    own_studio_share: float = 0.8
    """Shop photos taken in the SKU's own studio with its own wearer; the rest elsewhere."""
    shop_gain: tuple[float, float] = (0.92, 1.06)
    """Brightness factor in shop photos."""
    user_gain: tuple[float, float] = (0.75, 1.18)
    """Brightness factor in user photos."""
    user_cast: float = 0.07
    """Standard deviation of the log gain per colour channel in user photos."""
    shadow_share: float = 0.6
    """User photos with a soft gradient shadow."""
    occluder_share: float = 0.4
    """User photos with at least one occluder (arm, bag, phone, hair)."""
    blur_share: float = 0.3
    """User photos with focus or motion blur."""
    noise_sigma: tuple[float, float] = (1.0, 7.0)
    """Sensor noise of user photos, in grey levels."""
    user_quality: tuple[int, int] = (35, 90)
    """JPEG quality of user photos."""
    shop_quality: int = 90
    """JPEG quality of shop photos."""
    rotation: float = 7.0
    """Standard deviation of a user photo's in-plane rotation, degrees (flat ones turn three times more)."""
    perspective: float = 0.05
    """Largest corner shift of the perspective warp, relative to the image."""
    elastic: float = 0.01
    """Amplitude of the elastic warp, relative to the image height."""
    truncate_share: float = 0.18
    """User photos whose garment is cut by the frame."""

    # -- looks: how alike the garments are ----------------------------------------------------------
    plain_share: float = 0.7
    """Cuts with a solid base print; the rest are striped, checked, dotted, floral and so on."""
    graphic_share: float = 0.6
    """Upper-body cuts with a front graphic (missing from the back)."""
    cut_spread: float = 1.0
    """Width of the continuous cut parameters around their middle: 0 makes all cuts of a category equal."""
    back_panel_share: float = 0.65
    """Cuts whose back is in the second colour (plain), so that front and back look different."""
    colour_fame: float = 4.0
    """How much more frequent common colours (black, white, navy, grey, beige, ...) are; 0: all equal."""
    colour_jitter: float = 5.0
    """Standard deviation of a style's colour around the palette colour, in grey levels."""

    defects: bool = True
    """Add to train: a box that sticks out, an empty box, an annotation without image, a truncated JPEG
    and a broken JSON, one each."""
