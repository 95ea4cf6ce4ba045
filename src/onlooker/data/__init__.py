"""Sets of labeled clips, generated or on disk."""
