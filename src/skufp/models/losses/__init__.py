"""Losses as pure functions; each is tested against a naive double loop and hand-placed angles.

The fingerprint is trained on scores of queries against the bank: ``bank`` holds the SKU bank and its cross-entropy,
``margin`` hinges, ``ranking`` smooth ranks and ListNet, ``distill`` losses with a teacher; ``fingerprint`` is their
table by name. The retriever is trained on two sets of vectors: ``contrastive`` and ``sigmoid``.
"""
