"""The reports of stage=attributes and stage=describe, and the product cards."""
