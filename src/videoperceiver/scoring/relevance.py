"""The backends of frame relevance (paper 3.1, eq. 1) by name.

Backends: "motion" (frame difference; ignores the text), "proxy" (the embedded default, see `scoring/proxy.py`), and the vision-language models
"clip", "siglip2", "blip2" (the paper's) by model id or local path (`scoring/vision_language.py`).
"""

from typing import Any

from videoperceiver.errors import ConfigError
from videoperceiver.scoring.motion import MotionRelevance
from videoperceiver.scoring.scorer import RelevanceScorer

BACKENDS = ("motion", "proxy", "clip", "siglip2", "blip2")


def load_relevance(name: str = "proxy", **options: Any) -> RelevanceScorer:
    """A relevance backend by name.

    Args:
        name: one of `BACKENDS`; "clip", "siglip2" and "blip2" may name their checkpoint after a colon, as in "clip:/models/clip-vit-b32".
        options: `model` and `device` of the vision-language backends.

    Raises:
        ConfigError: an unknown name.
        MissingExtraError: the backend's packages are not installed.
        ModelError: the checkpoint cannot be used.
    """
    backend, _, model = name.partition(":")
    if backend not in BACKENDS or (model and backend in ("motion", "proxy")):
        raise ConfigError(f"relevance backend {name!r} is unknown; choose one of {', '.join(BACKENDS)} (the last three as NAME or NAME:MODEL)")
    if backend == "motion":
        return MotionRelevance(**options)
    if backend == "proxy":
        from videoperceiver.scoring.proxy import ProxyRelevance

        return ProxyRelevance(**options)
    from videoperceiver.scoring.vision_language import VisionLanguageRelevance

    return VisionLanguageRelevance(backend, **({"model": model} if model else {}), **options)
