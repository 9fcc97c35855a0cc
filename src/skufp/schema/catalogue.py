"""The shop that a catalogue is described for."""

from dataclasses import dataclass


@dataclass
class Shop:
    """What is the same for all of a shop's products; a product's own column wins. Empty: not known.

    ``link`` is a template with {handle} or {sku}. ``image_url`` is the address that the photos' paths are below.
    ``image_rows`` gives the Shopify CSV a row for each further photo.
    """

    name: str = ""
    url: str = ""
    link: str = ""  # a product's page, with {handle} or {sku}
    image_url: str = ""  # address that the photos' paths are below
    currency: str = ""
    availability: str = ""
    condition: str = ""
    brand: str = ""
    age_group: str = ""
    image_rows: bool = False  # true: the Shopify CSV has a row for each further photo
