"""Features of a frozen vision tower on disk, keyed by the content of pixels and weights."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from videoperceiver.models.adapters.base import Features


def fingerprint(modules: Iterable[torch.nn.Module], setting: str) -> str:
    """Hash of the weights that make features, and of how pixels are prepared."""
    digest = hashlib.sha256(setting.encode())
    for module in modules:
        for name, weight in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class FeatureCache:
    """One safetensors file for each set of patches that was encoded together.

    Args:
        folder: created; safe to delete and to share between processes that write at once.
        tower: fingerprint of the tower; another tower never reads these files.
    """

    def __init__(self, folder: str | Path, tower: str):
        self.folder, self.tower = Path(folder), tower
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, pixels: np.ndarray) -> Path:
        """The file of patches (n, frames_per_patch, H, W, 3) uint8."""
        digest = hashlib.sha256(f"{self.tower}{pixels.shape}".encode())
        digest.update(np.ascontiguousarray(pixels).tobytes())
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def read(self, pixels: np.ndarray) -> Features | None:
        """Features (n x tokens, D), None if not stored."""
        path = self.path(pixels)
        if not path.exists():
            return None
        stored = load_file(path)
        return Features(stored["tokens"], tuple(stored[f"deepstack.{i}"] for i in range(len(stored) - 1)))

    def write(self, pixels: np.ndarray, features: Features) -> None:
        """Store features; the file appears whole or not at all."""
        path = self.path(pixels)
        path.parent.mkdir(exist_ok=True)
        tensors = {"tokens": features.tokens, **{f"deepstack.{i}": extra for i, extra in enumerate(features.deepstack)}}
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        os.close(handle)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
        os.replace(partial, path)
