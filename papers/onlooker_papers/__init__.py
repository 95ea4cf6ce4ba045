"""The published systems, reproduced with onlooker: every table and figure."""

PACKAGE = "onlooker-papers"  # the distribution with the models, encoders and attentions
