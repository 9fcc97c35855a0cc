"""Typed records on disk, each owning its own reader and writer."""
