"""Batch norm as part of convolutions, and encoders as ONNX graphs."""

import hashlib
import warnings
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

__all__ = ["fold_batch_norm", "make_graph"]

_OPSET = 20


@torch.no_grad()
def fold_batch_norm(encoder: nn.Module, frame: Tensor) -> nn.Module:
    """A copy in which each convolution has the weights of the batch norm that follows it, in
    evaluation mode.

    Args:
        frame: `1 C H W`, which shows what follows what.
    """
    folded = deepcopy(encoder)
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # by the output, which is kept alive
    pairs: dict[_BatchNorm, nn.Conv2d] = {}

    def after(module: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made[id(output)] = (module, output)

    def before(module: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs[module] = made[id(inputs[0])][0]

    hooks = [
        module.register_forward_hook(after)
        if isinstance(module, nn.Conv2d)
        else module.register_forward_pre_hook(before)
        for module in folded.modules()
        if isinstance(module, nn.Conv2d | _BatchNorm)
    ]
    folded(frame)
    for hook in hooks:
        hook.remove()
    for parent in [*folded.modules()]:
        for name, norm in [*parent.named_children()]:
            if norm in pairs:
                _fold(pairs[norm], norm)
                setattr(parent, name, _rest(norm))
    return folded


def _fold(convolution: nn.Conv2d, norm: _BatchNorm) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


def _rest(norm: nn.Module) -> nn.Module:
    """What a layer does after batch norm: timm's have an activation in them."""
    return nn.Sequential(*(norm.get_submodule(name) for name, _ in norm.named_children()))


def make_graph(folded: nn.Module, frame: Tensor) -> bytes:
    """An encoder and its weights as ONNX, for any number of frames.

    Args:
        folded: see `fold_batch_norm`.
        frame: `1 C H W`.

    Raises:
        Exception: the packages for exporting are not installed, or PyTorch cannot express it; its
            exceptions have no common class.
    """
    with warnings.catch_warnings(action="ignore"):  # of the exporter
        program = torch.onnx.export(
            folded,
            (frame.expand(2, -1, -1, -1).clone(),),
            dynamo=True,
            verbose=False,
            input_names=["frames"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=_OPSET,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def weights_digest(module: nn.Module) -> str:
    """A hash of all weights and statistics of a module, with their names, shapes and types."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
