"""Caption metrics by hand where their packages and data are present, and what is said where they are not."""

import shutil
import sys

import pytest

from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.evaluation import captions
from videoperceiver.evaluation.captions import measure, rouge


def test_rouge_by_hand():
    pytest.importorskip("rouge_score")
    # unigrams the, cat, sat against the, cat, sleep: 2 of 3 both ways; bigrams 1 of 2; second pair equal after stemming
    got = rouge(["the cat sat", "running dogs"], ["the cat sleeps", "run dog"])
    assert got["rouge1"]["precision"] == pytest.approx((2 / 3 + 1) / 2)
    assert got["rouge2"]["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert got["rougeL"]["fmeasure"] == pytest.approx((2 / 3 + 1) / 2)


def test_meteor_by_hand():
    pytest.importorskip("nltk")
    try:
        got = captions.meteor(["the cat sat ."], ["the cat ."])
    except captions.NotComputedError as missing:
        pytest.skip(str(missing))
    # full stops dropped: 2 of 2 words match 2 of 3, in one chunk: F = 10 P R / (R + 9 P) = 0.689655.., penalty 0.5 (1 / 2)^3
    assert got == pytest.approx((10 * 1 * (2 / 3) / (2 / 3 + 9)) * (1 - 0.5 * 0.5**3))


def test_cider_of_equal_captions_is_ten():
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("no java")
    texts = ["a red car hits a man", "the dog runs over the street", "a bus waits at night"]
    assert captions.cider(texts, texts) == pytest.approx(10.0)
    assert captions.cider(texts, texts[::-1]) < 5


@pytest.mark.filterwarnings("ignore")  # pycocoevalcap leaves its Java process' pipes open
def test_coco_meteor_of_equal_captions_is_one():
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("no java")
    assert captions.meteor_coco(["a red car hits a man"], ["a red car hits a man"]) == pytest.approx(1.0)


def test_spice_says_what_is_missing():
    pytest.importorskip("pycocoevalcap")
    found = measure(["spice"], ["a"], ["a"])["spice"]
    assert "value" in found or "get_stanford_models" in found["not computed"]


def test_lists_must_pair():
    with pytest.raises(ValueError, match="2 references and 1 captions"):
        rouge(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="at least one"):
        rouge([], [])


def test_a_missing_package_names_its_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("rouge_score")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(MissingExtraError, match=r"videoperceiver\[eval\]"):
        rouge(["a"], ["a"])


def test_what_cannot_be_computed_says_why_and_is_never_zero(monkeypatch):
    def absent(module, *, extra, purpose):
        raise MissingExtraError(module, extra, purpose)

    monkeypatch.setattr(captions, "require", absent)
    monkeypatch.setattr(shutil, "which", lambda _: "java")
    monkeypatch.delenv("COMET_CHECKPOINT", raising=False)
    found = measure(list(captions.METRICS), ["a man"], ["a man"])
    assert found.pop("num") == 1
    assert all(set(entry) == {"not computed"} for entry in found.values())
    assert "pip install 'videoperceiver[eval]'" in found["cider"]["not computed"]
    assert "COMET_CHECKPOINT" in found["comet"]["not computed"]


def test_no_java_is_told(monkeypatch):
    monkeypatch.setattr(captions, "require", lambda *_, **__: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "java" in measure(["cider"], ["a"], ["a"])["cider"]["not computed"]


def test_an_unknown_metric_is_named():
    with pytest.raises(ConfigError, match="'bleurt', expected some of rouge, meteor"):
        measure(["bleurt"], ["a"], ["a"])
