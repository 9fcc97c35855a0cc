"""The report of stage=evaluate: the page, its plots, and the tables in the terminal."""
