"""Fit a model to a set of clips: by gradient descent, or as a linear layer.

It imports models, data and `measure`, for metrics, and writes only checkpoints and curves; `run` calls it. Begin with
`linear`, the default, or `fit`.
"""
