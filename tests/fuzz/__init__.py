"""Our own parsers on damaged input, made by code and a seed."""
