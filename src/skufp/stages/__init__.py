"""One file per stage: VERSION, run(cfg, inputs, out), and optionally check(cfg), show(cfg, folder, console).

check() refuses invalid settings before anything runs; show() prints a finished folder's result.

The modules import heavy packages inside run(): a finished stage must be shown at once.
"""
