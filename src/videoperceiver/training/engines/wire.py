"""What goes between trainer and rollout server: one safetensors body a message, its fields in a JSON tensor. No pickle, no third package.

The vLLM environment imports this file, so it knows neither the models nor the data.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

TOKEN = "VIDEOPERCEIVER_ENGINE_TOKEN"
"""Environment variable with what trainer and server prove themselves by, where the server is reachable from elsewhere."""

PROTOCOL = 1
"""Raised whenever a message changes; both sides must agree."""

_FIELDS = "json"


class WireError(ValueError):
    """A body that is none of our messages."""


def pack(fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """Fields and tensors as one safetensors body."""
    written = torch.frombuffer(bytearray(json.dumps(fields).encode()), dtype=torch.uint8)
    return save({_FIELDS: written, **{name: tensor.contiguous() for name, tensor in tensors.items()}})


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The inverse of `pack`.

    Raises:
        WireError: not such a body.
    """
    try:
        tensors = load(body)
        fields = json.loads(tensors.pop(_FIELDS).numpy().tobytes())
    except (SafetensorError, KeyError, ValueError) as error:
        raise WireError(f"got {len(body)} bytes that are no safetensors message of ours ({error!r})") from error
    return fields, tensors


@dataclass(frozen=True, eq=False)
class Video:
    """One video as the engine is shown it.

    Attributes:
        frames: (T, H, W, 3) uint8 at the size the model sees: neither resized nor sampled again.
        metadata: how the family's processor is told the times.
        grid_thw: temporal patches, and rows and columns of patches before merging, that the trainer counted.
        second_per_grid: seconds of a temporal patch, None where the family writes times as text.
        key: identifies pixels and times.
    """

    frames: np.ndarray
    metadata: dict[str, Any]
    grid_thw: tuple[int, int, int]
    second_per_grid: float | None
    key: str


@dataclass(frozen=True, eq=False)
class Prompt:
    """One leaf.

    Attributes:
        video: index of its video.
        ids: (S,) with the video as the chat template writes it, before its tokens are spelled out.
        spelled: (L,) with every video token, as the trainer's tree has them; the engine must come to the same.
        positions: (3, L) rotary positions of the tree; the engine uses these.
        seed: of its completions.
    """

    video: int
    ids: np.ndarray
    spelled: np.ndarray
    positions: np.ndarray
    seed: int


@dataclass(frozen=True)
class Sampling:
    """How to draw; see `models.generate.generate`."""

    num_generations: int
    max_new_tokens: int
    temperature: float
    top_p: float
    media_ids: Sequence[int]
    stop_ids: Sequence[int]


@dataclass(frozen=True, eq=False)
class SampleRequest:
    """Completions wanted under the weights of `version`."""

    videos: list[Video]
    prompts: list[Prompt]
    sampling: Sampling
    version: int

    def to_bytes(self) -> bytes:
        """For the wire."""
        tensors: dict[str, Tensor] = {f"frames/{i}": torch.from_numpy(np.ascontiguousarray(video.frames)) for i, video in enumerate(self.videos)}
        for i, prompt in enumerate(self.prompts):
            for name in ("ids", "spelled", "positions"):
                tensors[f"{name}/{i}"] = torch.tensor(getattr(prompt, name), dtype=torch.int64)
        fields = {
            "version": self.version,
            "sampling": {**vars(self.sampling), "media_ids": list(self.sampling.media_ids), "stop_ids": list(self.sampling.stop_ids)},
            "videos": [
                {"metadata": v.metadata, "grid_thw": [int(n) for n in v.grid_thw], "second_per_grid": v.second_per_grid, "key": v.key} for v in self.videos
            ],
            "prompts": [{"video": p.video, "seed": p.seed} for p in self.prompts],
        }
        return pack(fields, tensors)

    @classmethod
    def from_bytes(cls, body: bytes) -> "SampleRequest":
        """From the wire.

        Raises:
            WireError: a body that is no such request.
        """
        fields, tensors = unpack(body)
        try:
            videos = [
                Video(tensors[f"frames/{i}"].numpy(), told["metadata"], tuple(told["grid_thw"]), told["second_per_grid"], told["key"])
                for i, told in enumerate(fields["videos"])
            ]
            prompts = [
                Prompt(asked["video"], tensors[f"ids/{i}"].numpy(), tensors[f"spelled/{i}"].numpy(), tensors[f"positions/{i}"].numpy(), asked["seed"])
                for i, asked in enumerate(fields["prompts"])
            ]
            return cls(videos, prompts, Sampling(**fields["sampling"]), fields["version"])
        except (KeyError, TypeError) as error:
            raise WireError(f"a sample request lacks or misspells {error}") from error


@dataclass(frozen=True, eq=False)
class SampleReply:
    """Token ids and log-probabilities, by prompt and generation."""

    completions: list[list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """For the wire: all tokens in one row, and how many belong to each completion."""
        flat = [pair for drawn in self.completions for pair in drawn]
        ids = np.concatenate([ids for ids, _ in flat]) if flat else np.zeros(0, np.int64)
        logps = np.concatenate([logps for _, logps in flat]) if flat else np.zeros(0, np.float32)
        fields = {"lengths": [[len(ids) for ids, _ in drawn] for drawn in self.completions]}
        return pack(fields, {"ids": torch.from_numpy(ids.astype(np.int64)), "logps": torch.from_numpy(logps.astype(np.float32))})

    @classmethod
    def from_bytes(cls, body: bytes) -> "SampleReply":
        """From the wire.

        Raises:
            WireError: a body that is no such reply, or one whose lengths do not add up.
        """
        fields, tensors = unpack(body)
        try:
            lengths, ids, logps = fields["lengths"], tensors["ids"].numpy(), tensors["logps"].numpy()
        except KeyError as error:
            raise WireError(f"a sample reply lacks {error}") from error
        if sum(map(sum, lengths)) != len(ids) or len(ids) != len(logps):
            raise WireError(f"a sample reply has {len(ids)} tokens and {len(logps)} log-probabilities for lengths that add up to {sum(map(sum, lengths))}")
        rows = _rows([n for drawn in lengths for n in drawn], ids, logps)
        return cls([[next(rows) for _ in drawn] for drawn in lengths])


def _rows(lengths: Sequence[int], ids: np.ndarray, logps: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    start = 0
    for length in lengths:
        yield ids[start : start + length], logps[start : start + length]
        start += length


@dataclass(frozen=True, eq=False)
class WeightsPart:
    """Some of the policy's weights, under the names that transformers' model gives them.

    Attributes:
        tensors: by name.
        version: the weights' number, counted by the trainer.
        last: whether the version is complete with this part.
        adapter: PEFT's adapter_config.json where these are a LoRA adapter's weights, None for the model's own.
    """

    tensors: dict[str, Tensor]
    version: int
    last: bool
    adapter: dict[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """For the wire."""
        return pack({"version": self.version, "last": self.last, "adapter": self.adapter}, {f"w/{name}": t for name, t in self.tensors.items()})

    @classmethod
    def from_bytes(cls, body: bytes) -> "WeightsPart":
        """From the wire.

        Raises:
            WireError: a body that is no such part.
        """
        fields, tensors = unpack(body)
        try:
            return cls({name.removeprefix("w/"): t for name, t in tensors.items()}, fields["version"], fields["last"], fields["adapter"])
        except KeyError as error:
            raise WireError(f"a part of the weights lacks {error}") from error
