"""Catalogue views that no camera took: how they are drawn, and what must be true of one that is kept."""
