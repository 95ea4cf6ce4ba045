"""Encoder, cell and head together: a video to a class at every frame."""
