"""Caption metrics by hand where their packages and data are present, and what is said where they are not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.evaluation.small_wordnet import write_nltk_data

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


def scored_apart(metric: str, references: list[str], captions: list[str], data: Path) -> dict:
    """A metric in a process of its own: nltk keeps the WordNet it met first."""
    code = "import json, sys; from videoperceiver.evaluation.captions import measure; print(json.dumps(measure(*json.loads(sys.argv[1]))))"
    pairs = json.dumps([[metric], references, captions])
    done = subprocess.run([sys.executable, "-c", code, pairs], env=os.environ | {"NLTK_DATA": str(data)}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)[metric]


def test_meteor_by_hand_with_a_wordnet_of_two_words(tmp_path):
    pytest.importorskip("nltk")
    data = write_nltk_data(tmp_path / "nltk")
    # "auto" is a synonym of "car": 3 of 3 words both ways in one chunk, full stop dropped: F = 1, penalty 0.5 (1 / 3)^3
    first = 1 - 0.5 * (1 / 3) ** 3
    # "stopping" has the stem of "stops", nothing else matches: P = R = 1 / 2, F = 1 / 2, one chunk of one word: penalty 0.5
    second = 0.5 * (1 - 0.5)
    found = scored_apart("meteor", ["The car stops .", "he stops"], ["the auto stops", "stopping there"], data)
    assert found["value"] == pytest.approx((first + second) / 2)


def test_meteor_is_not_computed_from_half_a_wordnet(tmp_path):
    pytest.importorskip("nltk")
    data = write_nltk_data(tmp_path / "nltk")
    (data / "corpora" / "wordnet" / "index.sense").unlink()
    assert "nltk.downloader wordnet punkt_tab" in scored_apart("meteor", ["a man"], ["a dog"], data)["not computed"]


def test_comet_is_asked_with_an_empty_source(monkeypatch, tmp_path):
    """The package's own interface, played by a stand-in: its weights are nowhere in a package."""
    asked = []

    class Model:
        def predict(self, rows, batch_size, gpus, progress_bar):
            asked.extend(rows)
            return SimpleNamespace(scores=[0.25, 0.75])

    monkeypatch.setitem(sys.modules, "comet", SimpleNamespace(load_from_checkpoint=lambda path: Model()))
    monkeypatch.setenv("COMET_CHECKPOINT", str(tmp_path / "model.ckpt"))
    assert measure(["comet"], ["a man", "a dog"], ["one", "two"])["comet"] == {"value": 0.5}
    assert asked == [{"src": "", "mt": "one", "ref": "a man"}, {"src": "", "mt": "two", "ref": "a dog"}]


def test_a_named_comet_checkpoint_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "comet", None)
    monkeypatch.setenv("COMET_CHECKPOINT", "model.ckpt")
    assert "unbabel-comet" in measure(["comet"], ["a"], ["a"])["comet"]["not computed"]


def test_cider_of_equal_captions_is_ten():
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("no java")
    texts = ["a red car hits a man", "the dog runs over the street", "a bus waits at night"]
    assert captions.cider(texts, texts) == pytest.approx(10.0)
    assert captions.cider(texts, texts[::-1]) < 5


@pytest.mark.slow  # it reads a table of paraphrases for tens of seconds
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
