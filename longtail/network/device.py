"""Where a network works."""

import sys

import torch

# A GPU's float32 is a CPU's: embeddings that one has stored are compared with those of the other. TF32, which torch
# allows convolutions by default, has 10 bits.
torch.backends.cudnn.allow_tf32 = False

BFLOAT16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "avx10_2", "bf16"}  # instructions, of any one a processor


def device() -> torch.device:
    """The GPU if there is one, that of this process where there are several; else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def warn_of_bfloat16(parameter: str) -> None:
    """Say so where a network is to work in bfloat16 on a processor that has none, as `parameter` asks."""
    if device().type == "cpu" and not any(torch.cpu.get_capabilities().get(name) for name in BFLOAT16):
        print(
            f"warning: this processor has no bfloat16 and may take ten times as long in it; set {parameter} to float32",
            file=sys.stderr,
        )
