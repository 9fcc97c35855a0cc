"""Typed records on disk, each with its reader and writer."""
