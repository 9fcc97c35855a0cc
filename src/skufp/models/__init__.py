"""Networks and losses: pure PyTorch, no Hydra, no Lightning."""
