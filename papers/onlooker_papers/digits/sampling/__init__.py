"""Sampling at learned locations: deformable convolution, channel offsets, spatial transformers."""
