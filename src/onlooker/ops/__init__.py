"""Tensor operations: convolutions that a loop repeats, and the sampler of spatial transformers."""
