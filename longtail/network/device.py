"""Where a network works."""

import torch


def device() -> torch.device:
    """The GPU if there is one, that of this process where there are several; else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
