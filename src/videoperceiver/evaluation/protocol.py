"""How a number was made, with a hash: prompt, frames, pixels, decoding and the parser's own source."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from typing import Any, Literal

from videoperceiver.stages import EvaluateConfig

REASONING = "First think about the video inside <think> and </think>, then give the final answer alone inside <answer> and </answer>."
"""Appended to every question where prompt=reasoning; the parser reads what stands in <answer>."""
REASONING_TOKENS = 1024
MANIFEST_TOKENS = 64

Spread = Literal["ends", "starts", "centres"]


@dataclass(frozen=True)
class Protocol:
    """How a number was made. Numbers under different digests are not comparable.

    Attributes:
        prompt: the texts around a question, by use.
        num_frames: evenly spread frames; None where `fps` samples.
        fps: frames a second; None where `num_frames` samples.
        max_new_tokens: an answer stops here.
        source: where the protocol is written down.
        max_pixels: of a frame; None: what the checkpoint's processor does.
        text_first: the question stands before the video.
        spread: where `num_frames` lie: the first and the last frame among them, or at the start, or in the middle of as many equal parts.
        min_frames: taken by `fps` from a clip too short for it (Qwen-VL's own least), as far as it has so many.
        max_frames: where `fps` would take more, so many are spread evenly.
        temperature: of decoding; 0 = greedy.
        num_samples: answers drawn a question; their scores are averaged.
        reasoning: `REASONING` is appended to each question.
    """

    prompt: Mapping[str, str]
    num_frames: int | None
    fps: float | None
    max_new_tokens: int
    source: str
    max_pixels: int | None = None
    text_first: bool = False
    spread: Spread = "ends"
    min_frames: int = 4
    max_frames: int = 768
    temperature: float = 0.0
    num_samples: int = 1
    reasoning: bool = False

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over every field and the source text of the answer parser."""
        content = json.dumps(asdict(self), sort_keys=True) + _parser_text()
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def spelled(self, question: str) -> str:
        """A question as it is asked."""
        return f"{question}\n{REASONING}" if self.reasoning else question

    def bare(self, question: str) -> str:
        """A question without the texts that this protocol puts around every question: what its keywords are drawn from."""
        constants = {part.strip() for text in self.prompt.values() for part in re.split(r"\{[^{}]*\}", text)}
        for part in sorted(filter(lambda part: len(part) > 8, constants), key=len, reverse=True):
            question = question.replace(part, " ")
        return " ".join(question.split())

    def deviations(self, other: "Protocol") -> list[str]:
        """One sentence for each field in which another protocol differs from this one."""
        pairs = [(item.name, getattr(self, item.name), getattr(other, item.name)) for item in fields(self)]
        return [f"{name} is {got!r}, the protocol's is {own!r}" for name, own, got in pairs if own != got]

    def record(self) -> dict[str, Any]:
        """Every field and the digest, for result.json."""
        return {"digest": self.digest, **asdict(self)}


def effective(protocol: Protocol, config: EvaluateConfig) -> Protocol:
    """A benchmark's protocol with what a recipe overrides."""
    wanted, changes = config.benchmark, {}
    if wanted.num_frames:
        changes |= {"num_frames": wanted.num_frames, "fps": None}
    if wanted.fps:
        changes |= {"fps": wanted.fps, "num_frames": None}
    if wanted.max_frames:
        changes |= {"max_frames": wanted.max_frames}
    if wanted.max_pixels:
        changes |= {"max_pixels": wanted.max_pixels}
    return _decoded(replace(protocol, **changes), config)


def of_manifest(config: EvaluateConfig) -> Protocol:
    """The protocol of a manifest's own questions: asked as they are, on exactly the manifest's frames."""
    return _decoded(Protocol({}, None, None, MANIFEST_TOKENS, "the manifest"), config)


def _decoded(protocol: Protocol, config: EvaluateConfig) -> Protocol:
    reasoning = config.prompt == "reasoning"
    tokens = config.max_new_tokens or max(protocol.max_new_tokens, REASONING_TOKENS if reasoning else 0)
    return replace(protocol, max_new_tokens=tokens, temperature=config.temperature, num_samples=config.num_samples, reasoning=reasoning)


def _parser_text() -> str:
    files = sorted((file for file in resources.files("videoperceiver.answers").iterdir() if file.name.endswith(".py")), key=lambda file: file.name)
    return "".join(file.read_text(encoding="utf-8") for file in files)
