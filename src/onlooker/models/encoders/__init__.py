"""A frame to a feature map: `forward(frames: N C H W) -> N D h w`."""
