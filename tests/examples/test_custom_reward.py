"""The example does what its first lines say, run as a script and named in a recipe."""

import math
import subprocess
import sys
from pathlib import Path

from videoperceiver.rewards.base import BaseReward, load_rule
from videoperceiver.types import Question

FILE = Path(__file__).parents[2] / "examples" / "custom_reward.py"
WHEN = Question("q", "When?", "3.2 s", "time", "when")
COLOUR = Question("q", "What colour?", "red", "word", "colour", ("red", "blue"))


def test_runs_as_a_script():
    result = subprocess.run([sys.executable, str(FILE)], capture_output=True, text=True, check=True, timeout=60)
    assert [line[0] for line in result.stdout.splitlines()] == ["1", "0", "0"]


def test_is_a_rule_beside_the_built_in_ones():
    rule = load_rule(f"{FILE}:names_a_time")
    assert rule("at 3 s", WHEN) == 1.0
    assert rule("at 90 s", WHEN) == 0.0
    assert math.isnan(rule("red", COLOUR))
    reward = BaseReward({"format": 1.0, f"{FILE}:names_a_time": 0.5})
    assert reward("at 90 s", WHEN) == 1.0 / 1.5
    assert reward("red", COLOUR) == 1.0  # abstains: the format alone decides
