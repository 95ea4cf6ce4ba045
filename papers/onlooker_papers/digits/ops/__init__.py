"""Deformable convolution and channel offsets: sampling at learned places, fast on a CPU."""
