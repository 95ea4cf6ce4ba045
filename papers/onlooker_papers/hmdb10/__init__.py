"""Teja & Akunuri 2020, "Attention for HMDB-51": ten classes, scored frame by frame."""
