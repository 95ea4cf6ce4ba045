"""Published data sets in their own layouts: the entry points `onlooker.sets`, which `--set NAME` finds."""
