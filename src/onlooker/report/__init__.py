"""What is measured and shown: metrics, events found, the report of a run, drawn clips, plots.

It imports `base`, `data`, `models` and `video`; training and runs import it. Begin with `metrics`.
"""
