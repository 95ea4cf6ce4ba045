"""The model that tracks objects through groups of frames, and classifies each object from a group
as a whole.
"""

from typing import NoReturn

import torch
from torch import Tensor, nn

from onlooker.models.video_model import Output, VideoModel, make_head
from onlooker_papers.digits.each_glimpse import HEADS, EachGlimpse
from onlooker_papers.digits.opinions import OpinionPool
from onlooker_papers.digits.tracks import Tracks


class TrackClassifier(VideoModel):
    """Objects are tracked through groups of frames (`Tracks`); each group is classified, and the
    predictions are pooled with learned weights (`OpinionPool`).

    The prediction at a frame is that of all groups that have ended by then; before the first group
    ends, all classes are equal. Frames after the last complete group are ignored. A clip that is
    shorter than a group repeats its last frame to fill one, whose prediction is that of the last
    frame. Train this model with the loss of the last prediction (`--loss last`): frames of the
    first group carry no information, and count as mistakes in the frame accuracy.

    Args:
        num_classes: K.
        things: number of objects that are tracked (G).
        stretch: number of frames in a group (L).
        hidden: number of features of an object.
        head_units: width of a tanh layer before the classes; 0: none.
        head: `joint`: classify all objects together; `each-glimpse`: classify each object
            independently; the class is the unordered group of symbols (`EachGlimpse`). Objects have
            no fixed order, which `joint` must learn.
        dropout: before the classes.
        in_channels: C of the frames.
        size: height and width of the frames.

    Raises:
        ValueError: a setting that is unknown or does not fit the others.
    """

    package = "onlooker-papers"
    streams = False

    def __init__(
        self,
        num_classes: int,
        things: int = 2,
        stretch: int = 5,
        hidden: int = 128,
        head_units: int = 0,
        head: str = "joint",
        dropout: float = 0.5,
        in_channels: int = 3,
        size: int = 64,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        if head not in HEADS:
            raise ValueError(f"head is {head!r}, expected one of {', '.join(HEADS)}")
        self.tracks = Tracks(in_channels, things, stretch, hidden)
        width = self.num_features = self.tracks.num_features
        judge: nn.Module = make_head(width, head_units, dropout, num_classes)
        if head == "each-glimpse":
            judge = EachGlimpse(width, things, head_units, dropout, num_classes)
        self.pool = OpinionPool(judge, width)
        self.head = nn.Identity()  # the head is in the pool
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor) -> Output:
        """`B T C H W` to class logits at every frame, `B T K`; no attention."""
        B, T = self.check_video(video)
        stretches = self._stretches(video)  # B S L C H W
        S = stretches.shape[1]
        pooled = self.pool(self.tracks(stretches.flatten(0, 1)).unflatten(0, (B, S)))
        answers = torch.cat((torch.zeros_like(pooled[:, :1]), pooled), 1)
        # number of finished groups at each frame
        ended = torch.arange(1, T + 1, device=video.device) // self.tracks.stretch
        ended[-1] = S
        return Output(answers[:, ended])

    def initial_state(self, batch_size: int) -> NoReturn:
        """Raise a ValueError: the model needs groups of frames."""
        raise ValueError(
            "tracks reads groups of frames of whole clips; use `onlooker predict`, or another model"
        )

    def windows(self, frames: Tensor) -> Tensor:
        """The windows in the frames of one clip, `T C H W -> T G 2 3`, see `spatial_transform`.

        A window stays on the same object throughout a group. Frames after the last complete group,
        which `forward` ignores, get the windows of a group that is filled by repeating the last
        frame.
        """
        T = len(frames)
        missing = -T % self.tracks.stretch
        padded = torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1)))
        return self.tracks.windows(padded.unflatten(0, (-1, self.tracks.stretch))).flatten(0, 1)[:T]

    def _stretches(self, video: Tensor) -> Tensor:
        """`B T C H W -> B S L C H W`."""
        L = self.tracks.stretch
        if (missing := L - video.shape[1]) > 0:
            video = torch.cat((video, video[:, -1:].expand(-1, missing, -1, -1, -1)), 1)
        return video[:, : video.shape[1] // L * L].unflatten(1, (-1, L))
