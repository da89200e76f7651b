"""The surface rules, and rules loaded by name."""

import math

import pytest

from videoperceiver.errors import ConfigError, RewardError
from videoperceiver.rewards.base import BaseReward, fluency, length, load_rule, plain_format, reasoned_format
from videoperceiver.types import Question

CLOSED = Question("q1", "How many flashes?", "2", "number", "count")
OPEN = Question("q2", "What happens?", "A hand snaps.", "open", "caption")


@pytest.mark.parametrize(
    ("text", "question", "expected"),
    [
        ("two", CLOSED, 1.0),
        ("a b c d e f g h", CLOSED, 1.0),
        (" ".join("abcdefghijkl"), CLOSED, 0.5),
        ("", CLOSED, 0.0),
        ("x " * 100, CLOSED, 0.0),
        ("one two", OPEN, 0.4),
        ("x " * 50, OPEN, 1.0),
    ],
)
def test_length(text, question, expected):
    assert length(text, question) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("B", 1.0), ("line\nline\ttab", 1.0), ("  ", 0.0), ("B<|im_end|>", 0.0), ("<think>x", 0.0), ("B\x07", 0.0), ("caf\ufffd", 0.0), ("1 < 2 and 3 > 2", 1.0)],
)
def test_plain_format(text, expected):
    assert plain_format(text, CLOSED) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a flash</think><answer>2</answer>", 1.0),
        ("\n<think></think>\n<answer>2</answer>\n", 1.0),
        ("<answer>2</answer>", 0.0),
        ("<think>a</think><answer></answer>", 0.0),
        ("<think>a</think><answer>2</answer> so 2", 0.0),
        ("<think>a</think><answer>2</answer><answer>3</answer>", 0.0),
    ],
)
def test_reasoned_format(text, expected):
    assert reasoned_format(text, CLOSED) == expected


def test_fluency():
    assert fluency("a hand snaps its fingers twice", OPEN) == 1.0
    assert fluency("no no no no", OPEN) == 0.25
    # ten words: 8 trigrams, of which "the cat sat", "cat sat the", "sat the cat" repeat
    assert fluency("the cat sat the cat sat the cat sat down", OPEN) == pytest.approx(4 / 8)
    assert fluency("... !", OPEN) == 0.0


def test_weighted_mean_and_abstention(tmp_path):
    rules = tmp_path / "rules.py"
    rules.write_text("import math\ndef abstain(completion, question):\n    return math.nan\ndef half(completion, question):\n    return 0.5\n")
    reward = BaseReward({"format": 3.0, f"{rules}:half": 1.0, f"{rules}:abstain": 9.0})
    assert reward("B", CLOSED) == pytest.approx((3 * 1.0 + 0.5) / 4)
    assert reward.parts("B", CLOSED)["format"] == 1.0
    assert math.isnan(BaseReward({f"{rules}:abstain": 1.0})("B", CLOSED))


def test_a_module_of_ones_own():
    assert load_rule("videoperceiver.rewards.base:fluency") is fluency


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenght", r"unknown \(did you mean 'length'\?\); expected one of length"),
        ("no_such_module:rule", "no_such_module"),
        ("no/such/file.py:rule", "does not exist"),
        ("videoperceiver.rewards.base:missing", "no function 'missing'"),
        ("videoperceiver.rewards.base:MAX_WORDS_CLOSED", "no function"),
    ],
)
def test_bad_names_say_what_to_do(name, message):
    with pytest.raises(ConfigError, match=message):
        load_rule(name)


def test_bad_weights():
    with pytest.raises(ConfigError, match="no rules"):
        BaseReward({})
    with pytest.raises(ConfigError, match="weight 0"):
        BaseReward({"length": 0})
    with pytest.raises(ConfigError, match="weight nan"):
        BaseReward({"length": math.nan})


def test_what_a_rule_raises_is_told_with_its_completion_and_never_swallowed(tmp_path):
    rules = tmp_path / "broken.py"
    rules.write_text("def rule(completion, question):\n    return 1 / 0\n\ndef text(completion, question):\n    return 'good'\n")
    with pytest.raises(RewardError, match=r"raised ZeroDivisionError: division by zero, for the completion 'B' of 'q1'"):
        BaseReward({f"{rules}:rule": 1.0})("B", CLOSED)
    with pytest.raises(RewardError, match="could not convert string to float: 'good'"):
        BaseReward({f"{rules}:text": 1.0})("B", CLOSED)


@pytest.mark.parametrize("value", ["2.0", "-0.1", "float('inf')"])
def test_a_rule_outside_its_range_is_refused(tmp_path, value):
    rules = tmp_path / "wide.py"
    rules.write_text(f"def rule(completion, question):\n    return {value}\n")
    with pytest.raises(RewardError, match="expected 0 to 1 or NaN"):
        BaseReward({"format": 1.0, f"{rules}:rule": 1.0})("B", CLOSED)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def rule(completion:\n", "importing .* raised SyntaxError"),
        ("import no_such_package\n", "importing .* raised ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise RuntimeError('licence')\n", "importing .* raised RuntimeError: licence"),
        ("def rule(completion):\n    return 1.0\n", r"rule\(completion\) does not take 2 arguments; define it as \(completion: str, question: Question\)"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_before_the_run(tmp_path, source, message):
    rules = tmp_path / "rules.py"
    rules.write_text(source)
    with pytest.raises(ConfigError, match=message):
        load_rule(f"{rules}:rule")


def test_the_example_is_a_rule_by_path_and_by_module():
    by_path, by_module = load_rule("examples/custom_reward.py:names_a_time"), load_rule("examples.custom_reward:names_a_time")
    when = Question("q", "When?", "3.2 s", "time", "when")
    for text, expected in (("At 3.2 s.", 1.0), ("Some time between 2 s and 4 s.", 0.0)):
        assert by_path(text, when) == by_module(text, when) == expected
    assert math.isnan(by_path("At 3.2 s.", CLOSED))
    reward = BaseReward({"format": 1.0, "examples/custom_reward.py:names_a_time": 1.0})
    assert reward("It does not.", when) == pytest.approx(0.5)
    assert reward("2", CLOSED) == 1.0  # the rule abstains
