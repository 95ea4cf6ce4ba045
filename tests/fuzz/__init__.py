"""Our own parsers on damaged input that is generated from a seed."""
