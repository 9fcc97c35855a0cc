"""The shop that a catalogue is described for."""

from dataclasses import dataclass


@dataclass
class Shop:
    """What is the same for all of a shop's products; a product's own column wins. Empty: not known."""

    name: str = ""
    url: str = ""
    link: str = ""
    image_url: str = ""
    currency: str = ""
    availability: str = ""
    condition: str = ""
    brand: str = ""
    age_group: str = ""
    image_rows: bool = False
