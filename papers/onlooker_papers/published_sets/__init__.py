"""Published data sets in their own layouts, with their official splits."""
