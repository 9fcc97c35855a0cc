"""The settings of the shop."""

from dataclasses import dataclass


@dataclass
class Shop:
    """Values common to all products of a shop; a product's own column takes precedence. Empty: unknown.

    ``link`` is a template with {handle} or {sku}. ``image_url`` is the base address of the photos' paths.
    ``image_rows`` gives the Shopify CSV a row for each further photo.
    """

    name: str = ""
    url: str = ""
    link: str = ""  # a product's page, with {handle} or {sku}
    image_url: str = ""  # base address of the photos' paths
    currency: str = ""
    availability: str = ""
    condition: str = ""
    brand: str = ""
    age_group: str = ""
    image_rows: bool = False  # true: the Shopify CSV has a row for each further photo
