"""Tensor operations: sampling at learned locations, and convolutions that a loop repeats."""
