"""Comparisons of models on folders of real clips: `make real-clips`."""
