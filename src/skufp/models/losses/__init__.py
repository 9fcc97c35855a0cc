"""Losses as pure functions; each is tested against a naive double loop and hand-placed angles."""
