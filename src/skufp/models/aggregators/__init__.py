"""Aggregators: a SKU's views into one vector of unit norm, in the encoder's own space, whatever their order."""
