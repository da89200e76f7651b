"""VideoPerceiver: video language models that see brief events.

The names below are the public interface; each is imported when first used, so that `import videoperceiver` stays light. Stages are
`videoperceiver.data.build.run`, `videoperceiver.training.sft.run`, `videoperceiver.training.grpo.run` and `videoperceiver.evaluation.evaluate.run`.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from videoperceiver.config import load as load
    from videoperceiver.data.keyframes import analyse as analyse
    from videoperceiver.errors import SampleError as SampleError
    from videoperceiver.errors import VideoPerceiverError as VideoPerceiverError
    from videoperceiver.errors import VideoReadError as VideoReadError
    from videoperceiver.inference.perceiver import VideoPerceiver as VideoPerceiver
    from videoperceiver.models import Backbone as Backbone
    from videoperceiver.models import TreeBuilder as TreeBuilder
    from videoperceiver.models import generate as generate
    from videoperceiver.runs import Run as Run
    from videoperceiver.types import Clip as Clip
    from videoperceiver.types import Degradation as Degradation
    from videoperceiver.types import Question as Question
    from videoperceiver.types import Sample as Sample
    from videoperceiver.types import Span as Span
    from videoperceiver.video.degrade import apply as apply
    from videoperceiver.video.degrade import degrade as degrade
    from videoperceiver.video.read import iter_frames as iter_frames
    from videoperceiver.video.read import probe as probe
    from videoperceiver.video.read import read_clip as read_clip
    from videoperceiver.video.write import write_mp4 as write_mp4

_HOMES = {
    "config": ("load",),
    "data.keyframes": ("analyse",),
    "errors": ("SampleError", "VideoPerceiverError", "VideoReadError"),
    "inference.perceiver": ("VideoPerceiver",),
    "models": ("Backbone", "TreeBuilder", "generate"),
    "runs": ("Run",),
    "types": ("Clip", "Degradation", "Question", "Sample", "Span"),
    "video.degrade": ("apply", "degrade"),
    "video.read": ("iter_frames", "probe", "read_clip"),
    "video.write": ("write_mp4",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
