"""Search by words: cutting texts into terms, a BM25 index of SKUs' words, and its fusion with vectors."""
