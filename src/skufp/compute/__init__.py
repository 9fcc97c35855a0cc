"""Where and how work runs: device, threads, progress, the processes of a fit, and a map over parts."""
