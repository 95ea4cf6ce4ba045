"""What: a model predicts the class at every frame of a video.

Models know only tensors: they import `base`, no data and no video files. Begin with `registry`,
the table of models, and `linear`, the default.
"""
