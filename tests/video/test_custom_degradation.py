"""The example does what its first lines say."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from videoperceiver.video.degrade import degrade
from videoperceiver.video.read import read_clip

FILE = Path(__file__).parents[2] / "examples" / "custom_degradation.py"


def test_runs_as_a_script(tmp_path):
    result = subprocess.run([sys.executable, str(FILE), str(tmp_path)], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.splitlines()[0] == "1.000 to 1.375 s: 4 frames, the first one from 2.000 s"
    falling, rising = read_clip(tmp_path / "falling.mp4").frames, read_clip(tmp_path / "rising.mp4").frames
    assert np.abs(rising[8:17].astype(int) - falling[8:17][::-1]).mean() < 2
    assert np.abs(rising[8].astype(int) - falling[8]).mean() > 2


def test_is_an_operator_beside_the_built_in_ones():
    assert degrade(6, f"{FILE}:rewind", runs=[range(1, 4)]).source_idx == (0, 3, 2, 1, 4, 5)
    assert degrade(6, f"{FILE}:rewind", runs=[range(1, 2)]) is None
