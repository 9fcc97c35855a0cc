"""The report of stage=views, and its contact sheet."""
