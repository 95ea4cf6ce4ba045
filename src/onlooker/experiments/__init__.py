"""What experiments with many trainings share: memoized results, model specifications, parallel trainings."""
