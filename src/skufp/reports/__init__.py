"""What people look at: pages, tables, plots, contact sheets and the printed summary of each stage."""
