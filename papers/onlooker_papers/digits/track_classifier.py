"""The model that tracks objects through groups of frames, and classifies each object from a group as a whole."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import State
from onlooker.models.video_model import Output, VideoModel, make_head
from onlooker_papers.digits.each_glimpse import HEADS, EachGlimpse
from onlooker_papers.digits.opinions import OpinionPool
from onlooker_papers.digits.tracks import Tracks

_GRID = (1, 1)


class TrackState(NamedTuple):
    """The state between two frames: the pooled predictions of finished groups (`said`, `B K`); and the frames of the
    present group, `B L C H W`, of which the first `begun` (`B`) are filled."""

    said: Tensor
    frames: Tensor
    begun: Tensor


class TrackClassifier(VideoModel):
    """Objects are tracked through groups of frames (`Tracks`); each group is classified, and the predictions are pooled
    with learned weights (`OpinionPool`).

    The prediction at a frame is that of all groups that have ended by then; before the first group ends, all classes
    are equal. Frames after the last complete group are ignored. A clip that is shorter than a group repeats its last
    frame to fill one, whose prediction is that of the last frame. Train this model with the loss of the last prediction
    (`--loss last`): frames of the first group carry no information, and count as mistakes in the frame accuracy.

    Args:
        num_classes: K.
        things: number of objects that are tracked (G).
        stretch: number of frames in a group (L).
        hidden: number of features of an object.
        head_units: width of a tanh layer before the classes; 0: none.
        head: `joint`: classify all objects together; `each-glimpse`: classify each object independently; the class is
            the unordered group of symbols (`EachGlimpse`). Objects have no fixed order, which `joint` must learn.
        dropout: before the classes.
        in_channels: C of the frames.
        size: height and width of the frames.

    Raises:
        ValueError: a setting that is unknown or does not fit the others.
    """

    package = "onlooker-papers"

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
        self.pool = OpinionPool(judge, width, num_classes)
        self.head = nn.Identity()  # the head is in the pool
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor) -> Output:
        """`B T C H W` to class logits at every frame, `B T K`; no attention."""
        B, T = self.check_video(video)
        stretches = self._stretches(video)  # B S L C H W
        S = stretches.shape[1]
        (said,) = self.pool.project(self._describe(stretches.flatten(0, 1)))
        state = self.pool.initial_state(B, _GRID, video.device, said.dtype)
        answers = [state.hidden]
        for opinion in said.unflatten(0, (B, S)).unbind(1):
            output, state = self.pool.recur((opinion,), state)
            answers.append(output.hidden)
        ended = (
            torch.arange(1, T + 1, device=video.device) // self.tracks.stretch
        )  # number of finished groups at each frame
        ended[-1] = S
        return Output(torch.stack(answers, 1)[:, ended])

    def step(self, frame: Tensor, state: TrackState | None = None) -> tuple[Output, TrackState]:
        """One frame `B C H W` of a stream; begin with `state=None`.

        Gives the same numbers as `forward`, except for a clip shorter than a group: a stream does not know its end.
        """
        self.check_frames(frame.shape[1:])
        said, frames, begun = self.initial_state(len(frame)) if state is None else state
        frames = frames.clone()
        frames[torch.arange(len(frame), device=frame.device), begun] = frame.to(frames.dtype)
        ends = begun == self.tracks.stretch - 1
        if ends.any():
            (opinion,) = self.pool.project(self._describe(frames[ends]))
            _, after = self.pool.recur((opinion,), State(said[ends], said.new_zeros(len(opinion), 0)))
            said = said.clone()
            said[ends] = after.hidden.to(said.dtype)
        return Output(said), TrackState(said, frames, (begun + 1).masked_fill(ends, 0))

    def initial_state(self, batch_size: int) -> TrackState:
        """No predictions, and no frames of a group."""
        weight = next(self.parameters())
        wide = torch.promote_types(weight.dtype, torch.float32)
        return TrackState(
            torch.zeros(batch_size, self.num_classes, device=weight.device, dtype=wide),
            weight.new_zeros(batch_size, self.tracks.stretch, self.in_channels, self.size, self.size),
            torch.zeros(batch_size, device=weight.device, dtype=torch.int64),
        )

    @property
    def has_windows(self) -> bool:
        """True: the model sees the windows of its objects."""
        return True

    def windows(self, frames: Tensor) -> Tensor:
        """The windows in the frames of one clip, `T C H W -> T G 2 3`, see `spatial_transform`.

        A window stays on the same object throughout a group. Frames after the last complete group, which `forward`
        ignores, get the windows of a group that is filled by repeating the last frame.
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

    def _describe(self, stretches: Tensor) -> Tensor:
        """`N L C H W` to the features that the pool takes, `N D 1 1`."""
        features: Tensor = self.tracks(stretches)
        return features[..., None, None]
