"""Attacks: damaged files, hostile folders and faulty streams, made by code and a seed, and what they do to onlooker."""
