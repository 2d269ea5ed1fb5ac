"""Where a network works."""

import torch

# A GPU's float32 is a CPU's: embeddings that one has stored are compared with those of the other. TF32, which torch
# allows convolutions by default, has 10 bits.
torch.backends.cudnn.allow_tf32 = False


def device() -> torch.device:
    """The GPU if there is one, that of this process where there are several; else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
