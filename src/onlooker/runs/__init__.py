"""What the commands do: train, evaluate, compare, predict, localize, watch."""
