"""Device, threads, progress, the processes of a fit, and parallel maps over parts."""
