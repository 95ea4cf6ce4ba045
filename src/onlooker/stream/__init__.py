"""When: scores of windows become events, by one mechanism for files, recordings and cameras."""
