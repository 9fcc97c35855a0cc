"""Experiments: sweeps (the YAML files), their summaries and tables, benchmarks.

Run from the checkout: `python -m experiments.report`.
"""
