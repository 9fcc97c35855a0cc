"""The methods that stage=evaluate compares, and its text queries."""
