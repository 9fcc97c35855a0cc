"""From photos to batches: sources, crops, captions, splits, shards, augmentation, DataModules."""
