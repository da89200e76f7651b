"""The entailment proxy's three rules on written cases, and NLI checkpoints against their own softmax."""

import math

import numpy as np
import pytest
import torch

from videoperceiver.errors import ModelError
from videoperceiver.scoring.entailment import entailment_proxy, load_entailment


@pytest.mark.parametrize(
    ("premise", "hypothesis", "score"),
    [
        ("The man kicks the ball.", "the man kicked the ball", 1),
        ("A man kicks the ball into the goal.", "A man kicks a ball", 1),
        ("The man kicks the ball.", "The man throws the ball", 2 / 3),
        ("The man kicks the ball.", "a dog sleeps", 0),
        # negation
        ("The door is not opened.", "The door is opened", 0),
        ("The door is opened.", "The door isn't opened", 0),
        ("Nobody opens the door.", "The door is not opened", 1),
        ("It is not that he does not run.", "he runs", 1),
        # numbers
        ("The light blinks three times.", "The light blinks 3 times", 1),
        ("The light blinks three times.", "The light blinks two times", 0),
        ("He jumps twice.", "He jumps 2", 1),
        ("The event is at 1.5 s.", "at 1.5 s", 1),
        ("The event is at 1.5 s.", "at 2.5 s", 0),
        # order
        ("The car brakes before the truck turns.", "The car brakes before the truck turns", 1),
        ("The car brakes before the truck turns.", "The truck turns before the car brakes", 0),
        ("The car brakes before the truck turns.", "The truck turns after the car brakes", 1),
        ("He runs, then jumps.", "He jumps, then runs", 0),
        ("He runs, then jumps.", "He jumps", 1),
    ],
)
def test_proxy_rules(premise, hypothesis, score):
    assert entailment_proxy([premise], [hypothesis])[0] == pytest.approx(score)


@pytest.mark.parametrize("pair", [("", "kick"), ("kick", ""), ("the", "kick"), ("kick", "the a of"), ("...", "?!")])
def test_nothing_to_compare_is_nan(pair):
    assert math.isnan(entailment_proxy([pair[0]], [pair[1]])[0])


def test_pairs_must_match():
    with pytest.raises(ValueError, match="zip"):
        entailment_proxy(["a"], [])


def test_nli_is_the_softmax_of_its_entailment_label(tiny_checkpoints):
    score = load_entailment(str(tiny_checkpoints["nli"]), device="cpu")
    premises, hypotheses = ["a man kicks the ball", " ", "the dog runs", "red"], ["the man kicks", "red", "a dog", ""]
    scores = score(premises, hypotheses)
    assert np.isnan(scores).tolist() == [False, True, False, True]
    with torch.inference_mode():
        logits = score._model(**score._tokenizer([premises[2]], [hypotheses[2]], return_tensors="pt")).logits
    assert scores[2] == pytest.approx(logits.softmax(-1)[0, 2].item(), abs=1e-6)
    assert score([], []).shape == (0,)


def test_nli_needs_its_label(tiny_checkpoints, tmp_path):
    import json
    import shutil

    folder = tmp_path / "nli"
    shutil.copytree(tiny_checkpoints["nli"], folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "yes", "1": "no", "2": "maybe"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="yes, no, maybe"):
        load_entailment(str(folder), device="cpu")
    with pytest.raises(ModelError, match=r"lacks .* weights of BertForSequenceClassification"):
        load_entailment(str(_without_head(tiny_checkpoints["nli"], tmp_path / "headless")), device="cpu")


def _without_head(source, folder):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    weights = {name: value for name, value in load_file(folder / "model.safetensors").items() if not name.startswith("classifier")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
