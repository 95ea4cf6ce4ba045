"""Statistics and scores of windows: of all frames at once, frame by frame, and by their
definitions.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from onlooker.models.linear import LinearClassifier
from onlooker.models.windows import newest_windows, windows_of

LENGTHS = (2, 5, 9)
USUAL = 6


def naive(window: np.ndarray, positions: np.ndarray, usual: int) -> np.ndarray:
    """The statistics of one window `n D N` by their equations, in double precision."""
    n = len(window)
    changes = np.abs(np.diff(window, axis=0))
    unordered = [window.mean(0), window.std(0), changes.sum(0) / (usual - 1), changes.max(0)]
    waves = []
    for u in positions.T:
        of_frames = (window * u).mean(-1)
        for k in range(1, 5):
            wave = (
                np.cos(np.pi * k * (np.arange(n) + 0.5) / n) * np.sqrt(2) / n
                if k < n
                else np.zeros(n)
            )
            waves.append(wave @ (of_frames - of_frames.mean(0)))
    return np.concatenate([*(each.mean(-1) for each in unordered), *waves])


def model(lengths: tuple[int, ...] = LENGTHS, **settings: int) -> LinearClassifier:
    torch.manual_seed(0)
    net = LinearClassifier(3, window=USUAL, size=16, lengths=lengths, **settings).eval()
    for layer in ("event", "window") if lengths else ():
        for part in ("weight", "center", "bias"):
            getattr(net, f"{layer}_{part}").normal_()
    return net


@pytest.fixture
def features() -> Tensor:
    net = model()
    return torch.rand(2, 14, net.encoder.num_features, *net.grid) + 5


def test_statistics_are_those_of_the_definition_at_once_and_frame_by_frame(
    features: Tensor,
) -> None:
    net = model()
    frames = features.flatten(3)
    moments = net._moments(frames)
    of_all = windows_of(frames, moments, LENGTHS, USUAL)
    D = frames.shape[2]
    for t in range(frames.shape[1]):
        for place, n in enumerate(LENGTHS):
            if t + 1 < n:
                assert not of_all[:, t, place].any()
                continue
            window = frames[1, t + 1 - n : t + 1].double().numpy()
            expected = naive(window, net.positions.numpy(), USUAL)
            assert of_all[1, t, place].numpy() == pytest.approx(expected, abs=2e-5)
        if t + 1 >= LENGTHS[-1]:
            last = slice(t + 1 - LENGTHS[-1], t + 1)
            newest = newest_windows(frames[:, last], moments[:, last], LENGTHS, USUAL)
            assert torch.allclose(newest, of_all[:, t], atol=2e-5)
    assert of_all.shape == (2, 14, 3, 16 * D)


def test_a_window_of_the_usual_length_has_the_statistics_of_a_clip(features: Tensor) -> None:
    net = model((USUAL,))
    of_clip = net.statistics(features[:, :USUAL])[:, -1]
    assert torch.allclose(net.window_statistics(features[:, :USUAL])[:, -1, 0], of_clip, atol=2e-5)


def test_what_stands_still_has_no_change_and_no_spread() -> None:
    net = model()
    still = torch.full((1, 9, net.encoder.num_features, *net.grid), 1234.567)
    statistics = net.window_statistics(still)[0, -1]
    assert not statistics[:, net.encoder.num_features :].any()


def test_a_stream_has_the_scores_of_a_video_and_none_before_a_window_is_complete(
    features: Tensor,
) -> None:
    net = model()
    whole = net.forward_features(features).windows
    assert whole is not None
    of_events = whole.whole.sigmoid()[..., None]
    assert torch.allclose(whole.scores, of_events * whole.logits.softmax(-1))
    state = net.initial_state(2)
    for t in range(features.shape[1]):
        output, state = net.step_features(features[:, t], state)
        assert output.windows is not None
        complete = torch.tensor([t + 1 >= n for n in LENGTHS])
        for mine, theirs in zip(output.windows, whole, strict=True):
            assert torch.allclose(mine[:, complete], theirs[:, t][:, complete], atol=1e-4)
        assert output.windows.scores.shape == (2, 3, 3)
        assert (output.windows.scores[:, ~complete] < 1e-9).all()


def test_the_layer_is_on_the_device_of_the_model() -> None:
    net = model(()).to("meta")
    M = net.num_features
    event, classes = ([torch.zeros(M)] * 2 + [torch.zeros(K, M), torch.zeros(K)] for K in (1, 3))
    net.set_event_layer(LENGTHS, event, classes)
    assert {values.device.type for values in net.state_dict().values()} == {"meta"}


def test_the_layer_is_saved_and_loaded(tmp_path, features: Tensor) -> None:
    net = model(())
    net.center.normal_()
    assert net.forward_features(features).windows is None
    M = net.num_features
    event, classes = (
        [torch.randn(M), torch.rand(M) + 1, torch.randn(K, M), torch.randn(K)] for K in (1, 3)
    )
    net.set_event_layer(LENGTHS, event, classes)
    net.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path).eval()
    assert loaded.lengths == LENGTHS
    output = net.forward_features(features)
    torch.testing.assert_close(loaded.forward_features(features), output, rtol=0, atol=0)
    assert output.windows is not None
    statistics = net.window_statistics(features)[1, -1, 2]
    for (center, scale, weight, bias), logits in (
        (event, output.windows.whole[..., None]),
        (classes, output.windows.logits),
    ):
        expected = weight @ ((statistics - center) / scale) + bias
        assert torch.allclose(logits[1, -1, 2], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lengths", [(1, 4), (4, 4), (5, 3)])
def test_lengths_that_are_not_ascending_from_two_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending numbers of frames from 2"):
        model(lengths)
