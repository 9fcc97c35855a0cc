"""Query pre-processing: small callables, RGB image in, RGB image out, deterministic."""
