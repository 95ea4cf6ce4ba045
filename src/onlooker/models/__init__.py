"""Models: an encoder, a cell and a head predict the class at every frame of a video."""
