"""Fields of the validation in stage 0."""

from dataclasses import dataclass
from typing import Literal

from videoperceiver.errors import ConfigError


@dataclass(frozen=True)
class ValidateConfig:
    """What captions, questions and spans must stand, and which clips are too much like others (paper 3.4)."""

    enabled: bool = True  # the rules; duplicates and benchmarks have switches of their own
    skip: tuple[str, ...] = ()  # rules that are not applied, by name
    language: Literal["en", "zh", "any"] = "en"  # of captions and questions; any: not looked at
    max_caption_chars: int = 5000
    max_question_chars: int = 2000  # options included
    time_slack_s: float = 0.5  # times may lie outside the clip by this much
    duplicates: Literal["drop", "mark", "keep"] = "drop"  # clips that show and say what an earlier one did; keep: they are not looked for
    duplicate_bits: int = 7  # of 64, by which the frames of two such clips may differ
    decontaminate: Literal["drop", "mark", "keep"] = "keep"  # clips that share frames with a benchmark's videos
    benchmark_index: tuple[str, ...] = ()  # files written by `videoperceiver data index`
    benchmark_bits: int = 10  # of 64, by which a frame may differ from one of the benchmark's
    benchmark_share: float = 0.6  # of one video's frames that must be found in the other

    def __post_init__(self) -> None:
        if self.decontaminate != "keep" and not self.benchmark_index:
            raise ConfigError(f"benchmark_index is empty, and decontaminate: {self.decontaminate} needs one; write it with 'videoperceiver data index FOLDER'")
        for name in ("duplicate_bits", "benchmark_bits"):
            if not 0 <= getattr(self, name) <= 11:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 (the same hash) to 11 (beyond it unlike frames are alike)")
        if not 0 < self.benchmark_share <= 1:
            raise ConfigError(f"benchmark_share is {self.benchmark_share:g}; expected a share above 0 and at most 1")
        for name, least in (("max_caption_chars", 1), ("max_question_chars", 1), ("time_slack_s", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name):g}; expected at least {least}")
