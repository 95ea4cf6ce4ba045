"""The linear model: statistics of clips and of windows compared with NumPy at every frame, streams
with clips, attention, and scores of windows.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_heads import event_heads
from scipy.fft import dct
from stepping import stepped
from torch import Tensor
from torch.testing import assert_close

from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import create_model


def naive(window: np.ndarray, positions: np.ndarray, steps: int) -> np.ndarray:
    """The statistics of one window `n D N` by their equations, in double precision; the sum of the
    changes is divided by `steps`.
    """
    n = len(window)
    changes = np.abs(np.diff(window, axis=0))
    unordered = [
        window.mean(0),
        window.std(0),
        changes.sum(0) / steps,
        changes.max(0, initial=0),
    ]
    waves = []
    for u in positions.T:
        of_frames = (window * u).mean(-1)
        coefficients = dct(of_frames, axis=0, norm="ortho") / n**0.5
        waves += [coefficients[k] if k < n else 0 * of_frames[0] for k in range(1, 5)]
    return np.concatenate([*(each.mean(-1) for each in unordered), *waves])


def made(**changes):
    """A seeded model with a standardization that is not the identity."""
    torch.manual_seed(0)
    model = LinearClassifier(4, **{"size": 32, **changes})
    model.head.center.normal_()
    model.head.scale.uniform_(0.5, 2)
    return model.eval()


def made_features(T=7, B=2, D=64, side=4):
    random = torch.Generator().manual_seed(1)
    return rounded(3 + torch.randn(B, T, D, side, side, generator=random))


def rounded(features: Tensor) -> Tensor:
    """Features as the model rounds them: to 65,535 levels for each channel of a frame."""
    units = features.abs().amax((-2, -1), keepdim=True) / 32767
    return (features / units).round() * units


@torch.no_grad()
def test_logits_of_a_frame_are_a_linear_layer_on_the_standardized_statistics_so_far():
    model = made()
    features = made_features()
    logits = model.forward_features(features).logits
    for t in range(7):
        statistics = model.statistics(features[:, : t + 1])[:, -1]
        standard = (statistics - model.head.center[t]) / model.head.scale[t]
        assert_close(logits[:, t], model.head(standard), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"in_channels": 5, "flow_channels": 2}])
@torch.no_grad()
def test_step_equals_forward(changes):
    model = made(**changes)
    video = torch.rand(2, 7, model.in_channels, 32, 32)
    output = model(video)
    *in_steps, state = stepped(model.step, None, video)
    assert_close(in_steps, [output.logits, output.attention], atol=1e-5, rtol=0)
    constant = [part.shape for part in model.initial_state(2)]
    assert [part.shape for part in state] == constant
    assert_close(output.attention.sum((2, 3)), torch.ones(2, 7))


def by_definition(model, features):
    """The statistics of the last W frames at each frame of a clip, `T M`."""
    flat = features[0].double().flatten(2).numpy()
    windows = [flat[max(0, t + 1 - model.window) : t + 1] for t in range(len(flat))]
    positions = model.positions.double().numpy()
    return [naive(window, positions, max(len(window) - 1, 1)) for window in windows]


@torch.no_grad()
def test_every_frame_of_a_long_stream_has_the_statistics_of_its_own_window():
    model = made(window=6, size=8)
    features = made_features(T=400, B=1, side=1)
    features[:, 100:130] = 1000.0  # a scene without change, far from all others
    expected = by_definition(model, features)
    np.testing.assert_allclose(model.statistics(features)[0], expected, rtol=1e-6, atol=2e-4)
    still = made(window=40).statistics(torch.full((1, 30, 64, 4, 4), 0.7))[:, :, 64:128]
    np.testing.assert_allclose(still, 0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 7),
    st.integers(1, 12),
    st.integers(1, 3),
    st.sampled_from((0.01, 1.0, 50.0)),
    st.integers(0, 99),
)
@torch.no_grad()
def test_windows_of_any_length_have_the_statistics_of_their_frames_in_clips_and_streams(
    W, T, side, scale, seed
):
    model = made(window=W, size=16 * side)
    random = torch.Generator().manual_seed(seed)
    features = scale * torch.randn(1, T, 64, *model.grid, generator=random)
    features[:, T // 2 :] += scale  # a cut
    features = rounded(features)
    statistics = model.statistics(features)[0]
    np.testing.assert_allclose(statistics, by_definition(model, features), atol=2e-5 * scale)
    output = model.forward_features(features)
    *in_steps, _ = stepped(model.step_features, model.initial_state(1), features)
    tolerance = {"atol": 1e-4 * max(scale, 1), "rtol": 1e-4}
    assert_close(in_steps, [output.logits, output.attention], **tolerance)


@torch.no_grad()
def test_a_state_keeps_16_bits_of_each_feature_and_no_frame_more_than_a_window_needs():
    model = made(window=5, lengths=(3, 7), heads={"event": 1, "window": 4})
    features = 3 + torch.randn(2, 9, 64, 4, 4)
    features[:, :, 5] *= 1e-3  # units are those of a channel
    features[:, 8] *= 1e4  # and of a frame
    rounding = rounded(features) - features
    assert (rounding.abs() < 2e-5 * features.abs().amax((-2, -1), keepdim=True)).all()
    *of_steps, state = stepped(model.step_features, model.initial_state(2), features)
    video = model.forward_features(features)
    assert_close(of_steps, [video.logits, video.attention], atol=1e-4, rtol=1e-4)
    assert_close(video, model.forward_features(rounded(features)), atol=1e-4, rtol=1e-5)
    stored = sum(part.untyped_storage().nbytes() for part in state)
    assert stored == 2 * (4 + 6 * 64 * (2 * 16 + 4)), "six frames before the newest one"


@torch.no_grad()
def test_attention_is_the_distance_from_what_is_usual_in_the_directions_of_the_layer():
    model = made(window=5)
    features = made_features(T=9)
    attention = model.forward_features(features).attention
    directions = (model.head.weight - model.head.weight.mean(0)) / model.head.scale[-1]
    weights = directions.view(4, 16, 64).numpy()
    spread = model.head.center[-1].view(16, 64)[1].numpy()
    for b, t in ((0, 0), (1, 3), (1, 8)):
        window = features[b, max(0, t - 4) : t + 1].numpy()
        moved = window[-1] - window.mean(0)
        expected = np.zeros((4, 4))
        for statistic in (0, 2):
            for g in weights[:, statistic]:
                expected += (
                    np.einsum("d,dhw->hw", g, moved) ** 2 + 0.1 * ((g * spread) ** 2).sum()
                )
        np.testing.assert_allclose(
            attention[b, t], expected / expected.sum(), rtol=1e-3, atol=1e-6
        )


@torch.no_grad()
def test_attention_is_flat_where_nothing_changes():
    still = made_features(T=1).expand(-1, 6, -1, -1, -1)
    attention = made().forward_features(still).attention
    assert_close(attention, torch.full((2, 6, 4, 4), 1 / 16))


@torch.no_grad()
def test_half_precision_keeps_the_statistics():
    model = made()
    video = torch.rand(2, 5, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(video).logits.float()
    assert (half - model(video).logits).abs().max() < 0.05 * half.abs().max()


def test_the_encoder_is_frozen_also_in_training():
    model = made().train()
    assert model.training
    assert not any(part.training for part in model.encoder.modules())
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained == ["heads.clip.weight", "heads.clip.bias"]


def test_the_memory_of_a_model_is_proportional_to_its_window():
    model = made(window=2000, size=8)
    assert max(buffer.numel() for buffer in model.buffers()) == 2000 * model.num_features


def test_features_of_another_encoder_are_an_error():
    with pytest.raises(
        ValueError, match=r"features are \(1, 2, 9, 4, 4\), expected B T and then \(64, 4, 4\)"
    ):
        made().forward_features(torch.zeros(1, 2, 9, 4, 4))


LENGTHS = (2, 5, 9)
USUAL = 6


def model(lengths: tuple[int, ...] = LENGTHS) -> LinearClassifier:
    torch.manual_seed(0)
    heads = {"event": 1, "window": 3} if lengths else {}
    net = LinearClassifier(3, window=USUAL, size=16, lengths=lengths, heads=heads).eval()
    for layer in ("event", "window") if lengths else ():
        for part in ("weight", "center", "bias"):
            getattr(net.heads[layer], part).data.normal_()
    return net


@pytest.fixture
def features() -> Tensor:
    net = model()
    return rounded(torch.rand(2, 14, net.encoder.num_features, *net.grid) + 5)


def test_statistics_of_windows_are_those_of_the_definition(features: Tensor) -> None:
    net = model()
    frames = features.flatten(3)
    of_all = net.window_statistics(features)
    D = frames.shape[2]
    for t in range(frames.shape[1]):
        for place, n in enumerate(LENGTHS):
            if t + 1 < n:
                assert not of_all[:, t, place].any()
                continue
            window = frames[1, t + 1 - n : t + 1].double().numpy()
            expected = naive(window, net.positions.numpy(), USUAL - 1)
            assert of_all[1, t, place].numpy() == pytest.approx(expected, abs=2e-5)
    assert of_all.shape == (2, 14, 3, 16 * D)


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
    of_events = whole.whole.sigmoid()[..., None]
    assert torch.allclose(whole.scores, of_events * whole.logits.softmax(-1))
    state = net.initial_state(2)
    for t in range(features.shape[1]):
        output, state = net.step_features(features[:, t], state)
        complete = torch.tensor([t + 1 >= n for n in LENGTHS])
        for mine, theirs in zip(output.windows, whole, strict=True):
            assert torch.allclose(mine[:, complete], theirs[:, t][:, complete], atol=1e-4)
        assert output.windows.scores.shape == (2, 3, 3)
        assert (output.windows.scores[:, ~complete] < 1e-9).all()


def test_windows_that_are_too_far_from_training_are_no_events(
    tmp_path, features: Tensor
) -> None:
    net = model(())
    M = net.num_features
    event = [torch.zeros(M), torch.ones(M), torch.zeros(1, M), torch.ones(1)]
    used = torch.zeros(3, M)
    used[1, :5] = 1
    center = torch.cat((torch.randn(7), torch.zeros(M - 7)))  # two more count than are used
    classes = [center, torch.rand(M) + 1, used, torch.zeros(3)]
    net.set_heads(event_heads(event, classes), LENGTHS)
    without = net.forward_features(features)
    statistics = net.window_statistics(features)
    distance = ((statistics[..., :7] - center[:7]) / classes[1][:7]).square().sum(-1)
    complete = without.windows.whole > -30
    nearest_first = distance[complete].sort().values
    middle = len(nearest_first) // 2
    farthest = float(nearest_first[middle : middle + 2].mean())
    net.set_heads(event_heads(event, classes, limit=farthest), LENGTHS)
    net.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path).eval()
    assert (model().window_novelty_limit, loaded.window_novelty_limit) == (None, farthest)
    whole = loaded.forward_features(features).windows.whole
    far = complete & (distance > farthest)
    assert far.any()
    assert (whole[far] == -30).all()
    torch.testing.assert_close(whole[~far], without.windows.whole[~far], rtol=0, atol=0)
    state = net.initial_state(len(features))
    for t in range(features.shape[1]):
        output, state = net.step_features(features[:, t], state)
        assert torch.allclose(output.windows.whole, whole[:, t], atol=1e-4)


@pytest.mark.parametrize("biases", [1, 3])
def test_the_layer_is_saved_and_loaded(tmp_path, features: Tensor, biases: int) -> None:
    """With one bias of events, or one for each length."""
    net = model(())
    net.head.center.normal_()
    assert net.forward_features(features).windows is None
    M = net.num_features
    event, classes = (
        [torch.randn(M), torch.rand(M) + 1, torch.randn(K, M), torch.randn(count)]
        for K, count in ((1, biases), (3, 3))
    )
    net.set_heads(event_heads(event, classes), LENGTHS)
    net.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path).eval()
    assert loaded.lengths == LENGTHS
    output = net.forward_features(features)
    torch.testing.assert_close(loaded.forward_features(features), output, rtol=0, atol=0)
    statistics = net.window_statistics(features)[1, -1, 2]
    for (center, scale, weight, bias), logits in (
        ([*event[:3], event[3][-1:]], output.windows.whole[..., None]),
        (classes, output.windows.logits),
    ):
        expected = weight @ ((statistics - center) / scale) + bias
        assert torch.allclose(logits[1, -1, 2], expected, rtol=1e-4, atol=1e-4)


def test_a_stream_that_lacks_frames_has_layers_of_its_own(tmp_path, features: Tensor) -> None:
    net = model(())
    M = net.num_features
    layers = [
        [torch.randn(M), torch.rand(M) + 1, torch.randn(K, M), torch.randn(K)]
        for K in (1, 3, 1, 3)
    ]
    net.set_heads(event_heads(*layers[2:], limit=1e6), LENGTHS)
    alone = net.step_features(features[:, 0], net.initial_state(len(features)))[0]
    assert alone.low_rate is None
    expected = net.forward_features(features)
    net.set_heads(event_heads(*layers[:2], limit=1e6), LENGTHS)
    without = net.forward_features(features)
    net.set_heads(event_heads(*layers, limit=1e6), LENGTHS)
    net.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path).eval()
    output = loaded.forward_features(features)
    torch.testing.assert_close(output, without, rtol=0, atol=0)
    state = loaded.initial_state(len(features))
    for t in range(features.shape[1]):
        step, state = loaded.step_features(features[:, t], state)
        for mine, theirs in (
            (step.windows, without.windows),
            (step.low_rate, expected.windows),
        ):
            assert torch.allclose(mine.scores, theirs.scores[:, t], atol=1e-4)


@pytest.mark.parametrize("lengths", [(1, 4), (4, 4), (5, 3)])
def test_lengths_that_are_not_ascending_from_two_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending numbers of frames from 2"):
        model(lengths)


def test_the_layer_is_on_the_device_of_the_model() -> None:
    net = model(()).to("meta")
    M = net.num_features
    event, classes = (
        [torch.zeros(M)] * 2 + [torch.zeros(K, M), torch.zeros(K)] for K in (1, 3)
    )
    net.set_heads(event_heads(event, classes), LENGTHS)
    assert {values.device.type for values in net.state_dict().values()} == {"meta"}


@torch.no_grad()
@pytest.mark.parametrize("T", [1, 2, 5, 8])
def test_evidence_of_places_and_frames_adds_up_to_the_logits(T: int) -> None:
    model = made(window=8)
    features = made_features(T=T, B=1)
    weights = torch.tensor([1.0, -0.5, 0.25, 0.0])
    evidence = model.evidence(features[0], weights)
    assert evidence.shape == (T, *model.grid)
    expected = (model.forward_features(features).logits[0, -1] - model.head.bias) @ weights
    assert_close(evidence.sum(), expected, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_evidence_is_where_and_when_something_differs() -> None:
    model = made(window=6)
    model.head.center.zero_()
    model.head.weight[:, : model.encoder.num_features] = (
        0  # what is always there does not count
    )
    features = made_features(T=1).expand(-1, 6, -1, -1, -1).contiguous()[0]
    features[3, :, 1, 2] *= 2
    evidence = model.evidence(features, torch.tensor([1.0, -1.0, 0.0, 0.0]))
    places = evidence.abs().sum(0) > 1e-3
    assert places.nonzero().tolist() == [[1, 2]]
    assert evidence[3, 1, 2].abs() > evidence[0, 1, 2].abs()


def test_a_model_that_is_no_sum_has_no_evidence() -> None:
    with pytest.raises(ValueError, match="this model is no sum over places; use the default"):
        create_model("lstm", num_classes=2, size=32).evidence(torch.zeros(1), torch.zeros(2))
