"""Whether an answer can be trusted: calibrated probabilities, learnt from the scores of answered queries."""
