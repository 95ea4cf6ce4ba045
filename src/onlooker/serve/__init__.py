"""The web page `onlooker serve`: watch a model look at clips, teach it by showing, correct it."""
