"""The attack corpus: damaged files, hostile folders and faulty streams, generated from a seed."""
