"""Output for people: the report of a run, drawn clips, plots and pages.

It imports `measure` and what is below; runs import it. Begin with `summary`.
"""
