"""LightningModules: steps and optimiser. They take plain data and build their own networks."""
