"""ROUGE by hand, and what is said where its package is missing."""

import builtins

import pytest

from videoperceiver.errors import MissingExtraError
from videoperceiver.evaluation.captions import rouge


def test_rouge_by_hand():
    pytest.importorskip("rouge_score")
    # unigrams the, cat, sat against the, cat, sleep: 2 of 3 both ways; bigrams 1 of 2; second pair equal after stemming
    got = rouge(["the cat sat", "running dogs"], ["the cat sleeps", "run dog"])
    assert got["rouge1"]["precision"] == pytest.approx((2 / 3 + 1) / 2)
    assert got["rouge2"]["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert got["rougeL"]["fmeasure"] == pytest.approx((2 / 3 + 1) / 2)


def test_lists_must_pair():
    with pytest.raises(ValueError, match="2 references and 1 captions"):
        rouge(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="at least one"):
        rouge([], [])


def test_a_missing_package_names_its_extra(monkeypatch):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("rouge_score"):
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"videoperceiver\[eval\]"):
        rouge(["a"], ["a"])
