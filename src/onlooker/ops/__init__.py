"""Tensor mathematics without files or tables: sampling where a network says."""
