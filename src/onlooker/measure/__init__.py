"""Numbers of an evaluation: figures, metrics of events and states, and thresholds.

It imports `base` and `data`; training, the report and runs import it. Begin with `metrics`.
"""
