"""Sets of labelled clips, generated or on disk."""
