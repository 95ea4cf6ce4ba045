"""Fit a model to a set of clips."""
