"""Losses as pure functions; each is tested against a naive double loop and hand-placed angles.

``bank`` holds the SKU bank and its cross-entropy, ``margin`` hinges, ``ranking`` smooth ranks and ListNet, ``distill``
what follows a teacher: these train the fingerprint, from scores of queries against the bank; ``fingerprint`` is their
table by name. ``contrastive`` and ``sigmoid`` train the retriever, from two sets of vectors.
"""
