"""Images and videos of handwritten digits: moving, scaled, rotated and deformed."""
