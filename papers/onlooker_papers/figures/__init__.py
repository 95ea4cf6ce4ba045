"""What, where and when on stick figures, scored by the ground truth."""
