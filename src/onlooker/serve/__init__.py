"""The web page `onlooker serve`: classify clips with a model, teach it with examples, correct it."""
