"""Seeded generated catalogue in DeepFashion2 layout."""

from .params import SPLITS, CatalogueParams
from .plan import DEFECTS, ImagePlan, ItemPlan, plan
from .writer import draw, generate

__all__ = ["DEFECTS", "SPLITS", "CatalogueParams", "ImagePlan", "ItemPlan", "draw", "generate", "plan"]
