"""Metrics and output for people: figures, events, the report of a run, drawn clips, plots.

It imports `base`, `data`, `models` and `video`; training and runs import it. Begin with `metrics`.
"""
