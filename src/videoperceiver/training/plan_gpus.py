"""GPU types: what their makers promise. Data sheets: bf16 dense (without sparsity), memory bandwidth; memory as PyTorch sees it."""

import difflib
from dataclasses import dataclass

from videoperceiver.errors import ConfigError

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """One type.

    Attributes:
        name: as given to `--gpu`.
        memory_gib: that a process can use.
        tflops: bf16 with 32-bit accumulation, dense, peak.
        bandwidth_tbs: of its memory, terabytes a second.
        title: in words.
    """

    name: str
    memory_gib: float
    tflops: float
    bandwidth_tbs: float
    title: str


_KNOWN = (
    Gpu("a100-80", 79.2, 312, 2.04, "NVIDIA A100 80 GB"),
    Gpu("a100-40", 39.4, 312, 1.56, "NVIDIA A100 40 GB"),
    Gpu("h100", 79.1, 989, 3.35, "NVIDIA H100 SXM 80 GB"),
    Gpu("h100-pcie", 79.1, 756, 2.0, "NVIDIA H100 PCIe 80 GB"),
    Gpu("h200", 139.8, 989, 4.8, "NVIDIA H200 141 GB"),
    Gpu("b200", 178.0, 2250, 8.0, "NVIDIA B200 180 GB"),
    Gpu("l40s", 44.4, 362, 0.86, "NVIDIA L40S 48 GB"),
    Gpu("a6000", 47.4, 155, 0.77, "NVIDIA RTX A6000 48 GB"),
    Gpu("l4", 22.0, 121, 0.3, "NVIDIA L4 24 GB"),
    Gpu("rtx4090", 23.5, 165, 1.01, "NVIDIA GeForce RTX 4090 24 GB"),
    Gpu("rtx5090", 31.3, 210, 1.79, "NVIDIA GeForce RTX 5090 32 GB"),
    Gpu("mi300x", 191.0, 1307, 5.3, "AMD Instinct MI300X 192 GB"),
)
GPUS = {gpu.name: gpu for gpu in _KNOWN}


def gpu_of(name: str) -> Gpu:
    """A type by name; case, blanks and underscores do not matter.

    Raises:
        ConfigError: not in the table.
    """
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted in GPUS:
        return GPUS[wanted]
    near = difflib.get_close_matches(wanted, GPUS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"got GPU type {name!r}; {hint}Known: {', '.join(GPUS)}")
