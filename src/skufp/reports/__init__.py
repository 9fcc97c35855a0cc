"""What a person reads: pages, cards and tables made from a stage's own files."""
