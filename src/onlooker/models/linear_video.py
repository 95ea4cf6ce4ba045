"""The linear model behind an encoder of video: statistics of the features of windows of frames."""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from onlooker.models.encoders.video import VideoEncoder, torchvision_video, transformers_video
from onlooker.models.linear import LinearClassifier, LinearState
from onlooker.models.video_model import Output, VideoModel

__all__ = ["LinearVideo"]

_FRAMES = 32  # that are encoded together


class VideoState(NamedTuple):
    """`since`: number of frames since the last window ended, 0 at the start, `B 1`; `recent`: the last L frames,
    `B L C H W`; `seen`, `windows`: those of `LinearState`; `logits` `B K`, `attention` `B h w`: of the last window."""

    since: Tensor
    recent: Tensor
    seen: Tensor
    windows: Tensor
    logits: Tensor
    attention: Tensor


class LinearVideo(LinearClassifier):
    """`LinearClassifier` on the features of windows of L frames, in place of frames.

    A window ends at every L/2-th frame, and a window that begins before the clip repeats the first frame. Logits and
    attention at a frame are those of the last window that ended; before the first one they are zero and uniform.

    Args:
        num_classes, in_channels, flow_channels, size: K, 3, 0, and the height and width of the frames.
        encoder: `torchvision:NAME` or `transformers:NAME`; its weights are frozen.
        window: the number of frames of a training clip, L or more, a multiple of L/2.
        pretrained: load the pretrained weights of the encoder, or those in this file.
        network: settings of a saved encoder (`VideoEncoder.settings`).

    Raises:
        ValueError: a number of frames that does not fit the encoder, or frames that are not RGB.
    """

    encoder: VideoEncoder
    encodes_frames = False  # but windows of frames

    def __init__(
        self,
        num_classes: int,
        encoder: str = "torchvision:r3d_18",
        window: int = 16,
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 112,
        pretrained: bool | str = False,
        network: dict[str, Any] | None = None,
    ) -> None:
        VideoModel.__init__(self, num_classes, in_channels, size)
        if (in_channels, flow_channels) != (3, 0):
            raise ValueError(f"{encoder} takes RGB frames, not {in_channels} channels with {flow_channels} of flow")
        library, _, name = encoder.partition(":")
        if library == "torchvision":
            net = torchvision_video(name, size, pretrained)
        else:
            net = transformers_video(name, size, pretrained, network)
        self.stride = net.span // 2
        if window < net.span or window % self.stride:
            known = f"{net.span}, {net.span + self.stride}, {2 * net.span}"
            raise ValueError(f"{window} frames, and {encoder} reads {net.span} together; use --frames {known} or so on")
        self._set_up(net, window // self.stride)
        cast(dict[str, Any], self._hub_mixin_config)["network"] = net.settings

    def encode_video(self, video: Tensor) -> Tensor:
        """`B T C H W` to the features of the windows that end in it, `B T' D h w`; a shorter video is one window."""
        (B, T), span = self.check_video(video), self.encoder.span
        ends = torch.arange(1, max(T // self.stride, 1) + 1) * self.stride
        windows = video[:, (ends[:, None] + torch.arange(-span, 0)).clamp(0, T - 1)].flatten(0, 1)
        return torch.cat([self.encoder(part) for part in windows.split(max(_FRAMES // span, 1))]).unflatten(0, (B, -1))

    def forward(self, video: Tensor) -> Output:
        *_, logits, attention = self.initial_state(len(video))
        output = self.forward_features(self.encode_video(video))
        parts = ((logits, output.logits), (attention, cast(Tensor, output.attention)))
        ended = torch.arange(1, video.shape[1] + 1) // self.stride
        logits, attention = (torch.cat((first[:, None], part), 1)[:, ended] for first, part in parts)
        return Output(logits, attention)

    def step(self, frame: Tensor, state: Any = None) -> tuple[Output, Any]:
        self.check_frames(frame.shape[1:])
        since, recent, *last = self.initial_state(len(frame)) if state is None else state
        before = torch.where((since == 0)[..., None, None, None], frame[:, None], recent[:, 1:])
        since, recent = since % self.stride + 1, torch.cat((before, frame[:, None]), 1)
        if (ended := since[:, 0] == self.stride).any():
            seen, windows = (part[ended] for part in last[:2])
            output, after = self.step_features(self.encoder(recent[ended]), LinearState(seen, windows))
            changed = (*after, output.logits, cast(Tensor, output.attention))
            last = [part.index_put((ended,), new) for part, new in zip(last, changed, strict=True)]
        return Output(*last[2:]), VideoState(since, recent, *last)

    def initial_state(self, batch_size: int) -> Any:
        linear, recent = super().initial_state(batch_size), (self.encoder.span, self.in_channels, self.size, self.size)
        shapes = ((1,), recent, (self.num_classes,))
        since, frames, logits = (linear.seen.new_zeros(batch_size, *shape) for shape in shapes)
        uniform = logits.new_full((batch_size, *self.grid), 1 / (self.grid[0] * self.grid[1]))
        return VideoState(since, frames, linear.seen, linear.frames, logits, uniform)
