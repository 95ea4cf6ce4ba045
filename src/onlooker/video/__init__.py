"""Pixels: exact frames and times of files and image sequences, safe decoding, optical flow,
writing.

It imports `base` alone, and knows no classes and no models. Begin with `reader`.
"""
