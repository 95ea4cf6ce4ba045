"""Samples: folders and lists of labeled clips, splits, the cache, findings about clips.

It imports `base` and `video`, never a model. Begin with `clips`, and `sets` for what a user gives.
"""
