"""What is measured and shown: metrics, events found, the report of a run, drawn clips, plots.

It imports `base`, `data` and `video`, and is imported by training and runs. Begin with `metrics`.
"""
