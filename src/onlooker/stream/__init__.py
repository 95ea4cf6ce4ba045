"""When, and live: windows become segments, cameras are read, a model processes frame by frame.

`segmenters` is the one mechanism for files, recordings and cameras; `streams` is a model on several
`sources`, and may import all but `recognizer`, `run` and what is above them. Begin with `streams`.
"""
