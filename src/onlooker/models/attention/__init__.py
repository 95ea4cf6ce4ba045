"""Where to look now: features and memory to a map that sums to one over the places."""
