"""The precision of training and encoding."""

from typing import Any

import torch

__all__ = ["choose_precision"]


def choose_precision(wanted: str) -> Any:
    """`32`, `bf16` or `auto` as keys of stored features name it; auto is bf16 if the hardware multiplies in bf16."""
    if wanted == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        wanted = "bf16" if fast else "32"
    return {"32": "32-true", "bf16": "bf16-mixed"}[wanted]
