"""Teja & Akunuri 2020, "Attention for HMDB-51": ten classes, judged frame by frame."""
