"""Published and comparative experiments, built only from the rooms below."""
