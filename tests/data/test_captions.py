"""Template prompts."""

import pytest

from skufp.data.captions import template_caption


@pytest.mark.parametrize(
    ("domain", "category", "occlusion", "viewpoint", "text"),
    [
        ("query", "short sleeve top", 3, 3,
         "A user photo of a person wearing a heavily occluded short sleeve top from the side or back."),
        ("catalog", "vest", 1, 2, "A catalog photo of a person wearing a vest from the front."),
        ("catalog", "skirt", 2, 1, "A catalog photo of a partially occluded skirt, not worn."),
        ("query", "trousers", 0, 0, "A user photo of a person wearing a trousers."),
        ("query", "apron", 1, 2, "A user photo of a person wearing an apron from the front."),
        ("catalog", "overall", 1, 1, "A catalog photo of an overall, not worn."),
        ("catalog", "overall", 3, 1, "A catalog photo of a heavily occluded overall, not worn."),
    ],
)  # fmt: skip
def test_captions(domain: str, category: str, occlusion: int, viewpoint: int, text: str) -> None:
    assert template_caption(domain, category, occlusion, viewpoint) == text


def test_unknown_annotation_values_are_left_out() -> None:
    assert template_caption("query", "vest", 9, 9) == "A user photo of a person wearing a vest."
