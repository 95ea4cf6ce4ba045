"""A convolution in a loop equals an ordinary one, including its gradients."""

import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from onlooker.models.repeated_conv import Loop, RepeatedConv2d, repeated

STEPS = 4


def made(kernel=3, bias=True, dtype=torch.double, D=5):
    torch.manual_seed(0)
    conv = RepeatedConv2d(D, D, kernel, bias).to(dtype)
    return conv, torch.randn(2, D, 3, 4, dtype=dtype, requires_grad=True)


def looped(conv, maps, steps=STEPS, within=True):
    """A loop in which each step's input is a nonlinear function of the previous output."""
    outputs = []
    with repeated(Loop() if within else None):
        for _ in range(steps):
            maps = torch.tanh(conv(maps))
            outputs.append(maps)
    return torch.stack(outputs)


def both(conv, maps, of=slice(None), **how):
    """Outputs, and gradients of the sum of some steps, with and without `repeated`."""
    found = []
    for within in (True, False):
        outputs = looped(conv, maps, within=within, **how)
        weights = torch.linspace(-1, 2, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
        wanted = [p for p in (maps, *conv.parameters()) if p.requires_grad]
        found.append([outputs, *torch.autograd.grad((outputs * weights)[of].sum(), wanted)])
    return zip(*found, strict=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_outputs_and_gradients_are_those_of_the_plain_convolution(kernel, bias):
    for ours, plain in both(*made(kernel, bias)):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("D", [5, 64])
def test_in_single_precision_too_where_weights_are_packed(kernel, D):
    for ours, plain in both(*made(kernel, dtype=torch.float, D=D)):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_under_autocast_outputs_are_in_half_and_gradients_in_single_precision():
    conv, maps = made(dtype=torch.float, D=32)
    exact = [torch.autograd.grad(looped(conv, maps).sum(), [maps, *conv.parameters()])]
    with torch.autocast("cpu", torch.bfloat16):
        outputs = looped(conv, maps)
    assert outputs.dtype == torch.bfloat16
    rough = torch.autograd.grad(outputs.float().sum(), [maps, *conv.parameters()])
    for ours, right in zip(rough, *exact, strict=True):
        assert ours.dtype == torch.float
        assert (ours - right).norm() < 0.03 * right.norm()


@pytest.mark.parametrize("of", [0, 1, slice(0, 2), slice(2, 3)])
def test_a_loss_on_some_steps_has_the_gradients_of_these_only(of):
    for ours, plain in both(*made(), of=of):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)


def test_two_backward_passes_through_one_graph_are_independent():
    conv, maps = made()
    outputs = looped(conv, maps)
    (alone,) = torch.autograd.grad(outputs[1].sum(), [conv.weight], retain_graph=True)
    torch.autograd.grad(outputs.sum(), [maps], retain_graph=True)  # the weights are not asked for
    (again,) = torch.autograd.grad(outputs[1].sum(), [conv.weight], retain_graph=True)
    outputs[1].sum().backward()
    assert torch.equal(alone, again)
    assert torch.equal(alone, conv.weight.grad)


def test_gradients_equal_finite_differences():
    conv, maps = made(D=2)
    weights = [p for _, p in conv.named_parameters()]
    assert torch.autograd.gradcheck(lambda *_: looped(conv, maps, 3), [maps, *weights])


def test_without_gradients_no_intermediate_values_are_kept():
    conv, maps = made()
    plain = looped(conv, maps, within=False)
    with torch.no_grad():
        assert torch.allclose(looped(conv, maps), plain, atol=1e-12)
    with torch.inference_mode():
        assert torch.allclose(looped(conv, maps), plain, atol=1e-12)


def test_an_unreferenced_graph_is_freed_immediately():
    """Without cyclic garbage collection, which would be too late for graphs of the size of a video."""
    conv, maps = made()
    with repeated(Loop()):
        for _ in range(STEPS):
            maps = conv(maps)
    node, output = weakref.ref(maps.grad_fn), maps.sum()
    output.backward()
    assert node() is not None
    del maps, output
    assert node() is None


def test_other_shapes_and_nested_loops_are_handled_separately():
    conv, maps = made()
    with repeated(Loop()):
        first = conv(maps)
        with repeated(Loop()):
            inner = [conv(maps) for _ in range(3)]
        small = conv(maps[:1])
        second = conv(maps)
    plain = nn.functional.conv2d(maps, conv.weight, conv.bias, padding=1)
    for output in (first, *inner, second, torch.cat([small, second[1:]])):
        torch.testing.assert_close(output, plain)


def test_weights_changed_before_the_backward_pass_are_an_error():
    conv, maps = made()
    output = looped(conv, maps).sum()
    with torch.no_grad():
        conv.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_loop_that_is_entered_step_by_step(mode):
    conv, maps = made(dtype=torch.float32, D=16)
    loop, seen, expected = Loop(), maps.detach(), maps.detach()
    with mode():
        for _ in range(10):
            with repeated(loop):
                seen = torch.tanh(conv(seen))
            expected = torch.tanh(conv(expected))
            assert len(loop) == 1
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_gives_the_same_gradients(reentrant):
    conv, maps = made()
    wanted = [maps, *conv.parameters()]
    expected = torch.autograd.grad(looped(conv, maps).sum(), wanted)
    checkpoint(lambda maps: looped(conv, maps), maps, use_reentrant=reentrant).sum().backward()
    for part, gradient in zip(wanted, expected, strict=True):
        torch.testing.assert_close(part.grad, gradient, rtol=1e-12, atol=1e-12)
