"""Event phrases from a dependency parse, and how phrases of any origin are cleaned."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_NO_EVENT = {"be", "do", "have", "happen", "occur"}
_KEPT_MODIFIERS = {"compound", "amod", "nummod"}


def unique(phrases: Iterable[str]) -> tuple[str, ...]:
    """Phrases in lower case with single spaces, without empty and repeated ones, in order."""
    return tuple(dict.fromkeys(cleaned for phrase in phrases if (cleaned := " ".join(phrase.lower().split()))))


def event_phrases(doc: "Doc") -> Iterator[str]:
    """Verb phrases of a parsed text, noun phrases where it has no verb; rules: `keywords.SpacyKeywords`."""
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
