"""VideoLSTM (Li et al. 2016): its ablation, from single frames to attention that follows motion."""

from typing import Literal

Modality = Literal["rgb", "flow", "both"]  # input of a model: frames, optical flow, or both
