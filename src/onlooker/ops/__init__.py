"""Tensor operations: sampling at learned places, and convolutions that a loop repeats."""
