"""The weights of the encoder `small`: a classifier of Tiny ImageNet."""
