"""Files and messages of other programs: annotations (ELAN, BORIS, …), and events sent elsewhere.

It imports `base`, `data`, `storage` and `video`. Begin with `annotations`, the table of formats.
"""
