"""Visualization: overlays, plots, sheets of frames."""
