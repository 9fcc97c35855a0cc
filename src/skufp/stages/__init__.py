"""One file per stage: VERSION, run(cfg, inputs, out), and optionally check(cfg), show(cfg, folder, console).

check() refuses what cannot work before anything runs; show() prints a finished folder's result.

The modules import heavy packages inside run(): a stage that is already done has to answer at once.
"""
