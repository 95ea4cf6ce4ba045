"""What a person looks at: overlays, curves, sample sheets."""
