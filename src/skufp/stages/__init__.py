"""One file per stage: VERSION, run(cfg, inputs, out), and optionally show(cfg, folder, console).

The modules import heavy packages inside run(): a stage that is already done has to answer at once.
"""
