"""From attention and class scores, learned from labels alone, to where and when: boxes, tubes, segments."""
