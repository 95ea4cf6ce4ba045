"""One step in time: `(features, state) -> (output, state)`, and the one loop that repeats it."""
