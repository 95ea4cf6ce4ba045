"""The work of the commands that write into the folder of a run: train, evaluate, compare, predict.

It may import all packages but `cli` and `serve`, which call it. Begin with `train`, and `record`
for what a run folder holds.
"""
