"""The example runs, and its columns count pairs as it says."""

import runpy
import subprocess
import sys
from pathlib import Path

from tests.evaluation.prediction_rows import row

from videoperceiver.evaluation.benchmarks import BENCHMARKS

FILE = Path(__file__).parents[2] / "examples" / "custom_benchmark.py"


def test_runs_as_a_script():
    result = subprocess.run([sys.executable, str(FILE)], capture_output=True, text=True, check=True, timeout=120)
    lines = [line.split()[0] for line in result.stdout.splitlines()]
    assert lines == ["blank", "degraded", "full", "text", "protocol"]
    assert "wrong counts: []" in result.stdout


def test_a_pair_counts_only_where_both_are_right():
    runpy.run_path(str(FILE))
    try:
        rows = [row(1, family="flash", pair="0"), row(1, family="flash", pair="0"), row(1, family="flash", pair="1"), row(0, family="flash", pair="1")]
        assert BENCHMARKS["flashes"].table(rows) == {"pairs": 50.0, "questions": 75.0}
    finally:
        del BENCHMARKS["flashes"]
