"""What docs/stage2.md says of the tiny stage 2 is what the recorded seeds say."""

import json
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[1]


def test_the_page_tells_the_recorded_seeds():
    seeds = list(json.loads((ROOT / "docs/results/demo_seeds.json").read_text()).values())
    said = " ".join((ROOT / "docs/stage2.md").read_text().split())
    before, after = ({half: [seed[stage][half] for seed in seeds] for half in ("agree", "conflict")} for stage in ("stage 1", "stage 2"))
    moved = {half: [b - a for a, b in zip(before[half], after[half], strict=True)] for half in before}
    both = [fmean(pair) for pair in zip(*moved.values(), strict=True)]
    numbers = ("none", "one", "two", "three", "four", "five")
    assert f"moves by {min(moved['conflict']):.1f} to +{max(moved['conflict']):.1f} points" in said
    for half, words in (
        ("conflict", "rises on {} of five (mean {:.1f} before, {:.1f} after)"),
        ("agree", "it rises on {} of five ({:.1f} before, {:.1f} after)"),
    ):
        assert words.format(numbers[sum(m > 0 for m in moved[half])], fmean(before[half]), fmean(after[half])) in said
    assert f"over both halves together it falls on {numbers[sum(m < 0 for m in both)]} of five, by up to {-min(both):.1f} points" in said
    assert sum(m > 0 for m in moved["conflict"]) < 4, "else the aim is met, and the page must say so"
