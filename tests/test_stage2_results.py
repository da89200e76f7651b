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
    numbers = {2: "two", 1: "one"}
    assert f"moves by {min(moved['conflict']):.1f} to +{max(moved['conflict']):.1f} points" in said
    assert (
        f"rises on {numbers[sum(m > 0 for m in moved['conflict'])]} of five (mean {fmean(before['conflict']):.1f} before, {fmean(after['conflict']):.1f} after)"
        in said
    )
    assert f"it rises on {numbers[sum(m > 0 for m in moved['agree'])]} of five ({fmean(before['agree']):.1f} before, {fmean(after['agree']):.1f} after)" in said
    assert max(both) < 0
    assert f"falls on all five, by {-max(both):.1f} to {-min(both):.1f} points" in said
