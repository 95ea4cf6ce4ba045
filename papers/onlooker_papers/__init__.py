"""The published systems, reproduced with onlooker: every table and figure."""
