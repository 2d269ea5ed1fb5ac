"""Tensors in files: safetensors, with its errors as sentences."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from longtail.errors import DataError


def write_weights(tensors: dict[str, Tensor], file: Path, *, about: dict[str, str] | None = None) -> None:
    """Write tensors, and a few words about them, to a file. Raises DataError if it cannot be written."""
    try:
        save_file(tensors, file, metadata=about)
    except SafetensorError as error:
        raise DataError(f"cannot write {file}: {error}") from error


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a file. Raises DataError if it is damaged."""
    try:
        return dict(load_file(file))
    except SafetensorError as error:
        raise DataError(
            f"{file} is damaged ({error}): delete its directory and run the step that made it again"
        ) from error


def digest(tensors: dict[str, Tensor], about: str = "") -> str:
    """The sha256 of tensors and their names, and of a text."""
    hashed = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        hashed.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()
