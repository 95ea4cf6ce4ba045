"""Metrics, and the report that shows them."""
