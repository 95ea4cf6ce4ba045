"""When, and live: windows become events, cameras are read, a model processes frame by frame.

`events` is the one mechanism for files, recordings and cameras, and imports `base` alone; `streams`
is a model on several `sources`, and may import all but `recognizer`, `run` and what is above them.
Begin with `streams`.
"""
