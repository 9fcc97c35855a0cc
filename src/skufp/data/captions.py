"""Template prompts from annotation fields: they tell a category and how it is seen, not one exact SKU."""

DOMAIN = {"query": "user", "catalog": "catalog"}
OCCLUSION = {2: "partially occluded ", 3: "heavily occluded "}
VIEWPOINT = {2: "from the front", 3: "from the side or back"}


def template_caption(domain: str, category: str, occlusion: int, viewpoint: int) -> str:
    """Return the prompt of one crop.

    Example: "A user photo of a person wearing a heavily occluded short sleeve top from the side or back."
    """
    garment = f"{OCCLUSION.get(occlusion, '')}{category}"
    article = "an" if garment[:1].lower() in "aeiou" else "a"
    photo = f"A {DOMAIN[domain]} photo of"
    if viewpoint == 1:
        return f"{photo} {article} {garment}, not worn."
    seen = f" {VIEWPOINT[viewpoint]}" if viewpoint in VIEWPOINT else ""
    return f"{photo} a person wearing {article} {garment}{seen}."
