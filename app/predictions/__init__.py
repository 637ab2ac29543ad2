"""Private predictions from the command line: kits, models of runs, processes, and what people are shown.

Decides: files, options and words. Refuses to know the protocol (`predictions`).
"""
