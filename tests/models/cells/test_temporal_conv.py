"""Temporal convolutions compared with PyTorch's; they learn short movements at any time and place."""

import torch
import torch.nn.functional as F

from onlooker.models.cells.temporal_conv import TemporalConv
from onlooker.models.cells.unroll import unroll
from onlooker.models.registry import create_model

D, U, GRID = 3, 4, (2, 5)


def start(cell, B, grid=GRID):
    return cell.initial_state(B, grid, torch.device("cpu"), torch.float32)


@torch.no_grad()
def test_it_equals_two_dilated_convolutions_with_zero_padding():
    torch.manual_seed(0)
    cell, features = TemporalConv(D, U, GRID).eval(), torch.randn(2, 12, D, *GRID)
    torch.nn.init.normal_(cell.norm.weight)
    torch.nn.init.normal_(cell.norm.bias)
    hidden = unroll(cell, features, start(cell, 2))[0].hidden

    def convolved(seen, linear, dilation):
        """`B T U`, by `conv1d`: the linear layer's inputs are three frames, one after the other."""
        kernel = linear.weight.unflatten(1, (3, U)).movedim(1, 2)
        return F.silu(F.conv1d(F.pad(seen.mT, (2 * dilation, 0)), kernel, linear.bias, dilation=dilation).mT)

    rows = features.flatten(2) @ cell.from_features.weight.mT + cell.from_features.bias
    v = F.silu(F.layer_norm(rows, (U,), cell.norm.weight, cell.norm.bias))
    z = convolved(convolved(v, cell.first, 1), cell.second, 2)
    mean = z.cumsum(1) / torch.arange(1, 13)[:, None]
    torch.testing.assert_close(hidden, torch.cat((mean, z.cummax(1).values.clamp_min(0)), 2), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_receptive_field_is_seven_frames_besides_the_running_statistics():
    torch.manual_seed(0)
    cell, features = TemporalConv(D, U, GRID).eval(), torch.randn(1, 16, D, *GRID)
    other = features.clone()
    other[:, 3] += 1
    means = [
        unroll(cell, seen, start(cell, 1))[0].hidden[0, :, :U] * torch.arange(1, 17)[:, None]
        for seen in (features, other)
    ]
    found = [torch.diff(mean, dim=0, prepend=torch.zeros(1, U)) for mean in means]  # z_t
    changed = (found[0] - found[1]).abs().amax(1) > 1e-5
    assert changed.nonzero().flatten().tolist() == list(range(3, 10))


def test_it_learns_the_order_and_place_of_a_movement():
    """A dot moves up or down within two frames, in the left or the right half: four classes."""
    T = 12

    def clips(count, generator):
        labels = torch.randint(4, (count,), generator=generator)
        when = torch.randint(1, T - 1, (count,), generator=generator)
        video = torch.zeros(count, T, 1, 2, 2)
        for n, (label, t) in enumerate(zip(labels.tolist(), when.tolist(), strict=True)):
            first, column = label % 2, label // 2
            video[n, t, 0, first, column] = video[n, t + 1, 0, 1 - first, column] = 1
        return video, labels

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    cell, head = TemporalConv(1, 16, (2, 2)), torch.nn.Linear(32, 4)
    optimizer = torch.optim.Adam([*cell.parameters(), *head.parameters()], 0.01)
    for _ in range(150):
        video, labels = clips(32, generator)
        loss = F.cross_entropy(head(unroll(cell, video, start(cell, 32, (2, 2)))[0].hidden[:, -1]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    video, labels = clips(400, generator)
    cell.eval()
    with torch.no_grad():
        said = head(unroll(cell, video, start(cell, 400, (2, 2)))[0].hidden[:, -1]).argmax(1)
    assert (said == labels).float().mean() > 0.95


@torch.no_grad()
def test_the_state_stays_in_full_precision_where_layers_are_computed_in_half():
    torch.manual_seed(0)
    cell, features = TemporalConv(D, U, GRID).eval(), torch.randn(1, 20, D, *GRID)
    exact = unroll(cell, features, start(cell, 1))[0].hidden
    with torch.autocast("cpu", torch.bfloat16):
        (hidden, *_), state = unroll(cell, features, start(cell, 1))
    assert hidden.dtype == state.hidden.dtype == state.memory.dtype == torch.float32
    torch.testing.assert_close(hidden, exact, atol=0.03, rtol=0.03)


def test_it_works_with_attention_and_with_an_encoder_of_flow():
    model = create_model("atcn", 3, in_channels=5, flow_channels=2, hidden=8).eval()
    with torch.no_grad():
        output = model(torch.rand(2, 4, 5, 64, 64))
    assert output.logits.shape == (2, 4, 3)
    assert output.attention is not None
    assert output.attention.shape == (2, 4, 8, 8)
