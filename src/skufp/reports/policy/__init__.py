"""The report of stage=policy_report: the page, its plots, and the tables in the terminal."""
