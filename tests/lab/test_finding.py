"""The finding: verdicts, corrections and words follow from rows; what is missing is said; the page can be made again from the same rows."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from videoperceiver.config import load
from videoperceiver.lab import choice, effects, finding_page, plots
from videoperceiver.lab.finding import EXPLORATORY, EXPLORED, find, judge
from videoperceiver.lab.finding_words import WHERE, claims_tables, points, sentence, spread
from videoperceiver.lab.plots import Mark
from videoperceiver.lab.rows import Answers, Row
from videoperceiver.lab.study import StudyConfig

STUDY = """
num_seeds: 6
tests: {agree: [full], conflict: [full]}
arms: {plain: {}, better: {}, same: {}, worse: {}, after: {start: better}}
claims:
  - {says: the better way, arm: better, against: plain, family: one}
  - {says: the same way, arm: same, against: plain, family: one}
  - {says: the worse way, arm: worse, against: plain, family: one}
  - {says: a second step, arm: after, against: better, family: two}
  - {says: a look, arm: worse, against: same}
"""
QUESTIONS = ("flash_colour", "pop_colour", "count", "when", "order", "object_colour")
RIGHT = {"plain": 0.4, "better": 0.6, "same": 0.4, "worse": 0.2}


def answers(share, seed):
    """The same clips are hard for every arm, so that differences are not noise."""
    hard = np.random.default_rng(seed).random((400, 6))
    return Answers(hard < share, hard >= share)


def row(arm, seed):
    shift = 0.002 * (seed % 3)  # a spread between seeds
    tests = {name: answers(RIGHT[arm] + shift, seed) for name in ("agree/full", "conflict/full")}
    return Row(arm, seed, "c0ffee", 10, {"train": 20.0 if arm == "better" else 10.0, "evaluate": 1.0}, {}, QUESTIONS, (False,) * 5 + (True,), tests)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return load(StudyConfig, tmp_path / "study.yaml")


def rows_of(arms, seeds=range(6)):
    return [row(arm, seed) for arm in arms for seed in seeds]


def test_verdicts_of_clear_effects(config):
    better, same, worse, after, look = judge(config, rows_of(RIGHT))
    assert better.verdicts["conflict"] == effects.HELPS
    assert better.effects["conflict"].value == pytest.approx(0.2, abs=0.02)
    assert same.verdicts["conflict"] == effects.NOTHING
    assert worse.verdicts["conflict"] == effects.HARMS
    assert look.verdicts["conflict"] == EXPLORED
    assert better.cost_ratio == 2.0
    assert after.slices == []
    assert math.isnan(after.cost_ratio)


def test_a_gain_that_another_slice_pays_for_says_so(config):
    better = judge(config, rows_of(RIGHT))[0]
    assert len(better.slices) > 1
    assert ", and harms" not in sentence(better)
    paid = replace(better, verdicts=dict.fromkeys(better.slices, effects.HARMS) | {"conflict": effects.HELPS})
    assert f": helps, and harms where {WHERE.get(better.slices[1], better.slices[1])}" in sentence(paid)
    assert any("helps, and harms where" in row[-2] for row in claims_tables("stage 1", [paid])[0].rows)


def test_p_values_are_corrected_within_a_family(config):
    better, same, worse, *_ = judge(config, rows_of(RIGHT))
    raw = sorted(j.effects["conflict"].p_value for j in (better, worse))
    assert sorted((better.adjusted["conflict"], worse.adjusted["conflict"])) == pytest.approx([3 * raw[0], max(3 * raw[0], 2 * raw[1])])
    assert same.adjusted["conflict"] == 1.0


def test_explored_claims_share_a_table_where_they_look_at_the_same_slices(config):
    look = judge(config, rows_of(RIGHT))[-1]
    other = replace(look, claim=replace(look.claim, slices=["agree"]))
    tables = claims_tables(EXPLORATORY, [look, other, look])
    assert [len(table.rows) for table in tables] == [2, 1]
    assert tables[1].heads == ("claim", "arm − against", "seeds", "agree", "CPU")


def test_missing_seeds_are_undecided_and_said(config):
    some = rows_of(["plain", "better"], range(3))
    better = judge(config, some)[0]
    assert better.verdicts["conflict"] == effects.UNDECIDED
    assert "3 of 6 seeds" in sentence(better)
    assert [(arm.name, arm.num_seeds) for arm in find(config, some).incomplete][:3] == [("backbone", 0), ("plain", 3), ("better", 3)]


def test_other_seeds_can_be_left_out(config):
    better = judge(config, rows_of(RIGHT), seeds=range(4, 6))[0]
    assert better.effects["conflict"].seeds == (4, 5)
    assert better.num_planned == 2


def test_means_and_cue_following(config):
    found = {arm.name: arm for arm in find(config, rows_of(RIGHT)).arms}
    assert found["better"].accuracy["conflict"] == pytest.approx(0.6, abs=0.02)
    assert found["better"].followed == pytest.approx(0.4, abs=0.02)
    assert found["after"].num_seeds == 0
    assert math.isnan(found["after"].accuracy["conflict"])


def test_every_number_of_the_page_is_in_the_rows_and_the_page_repeats(config, tmp_path):
    rows = rows_of(RIGHT)
    first = [path.read_text() for path in finding_page.write(config, rows, tmp_path / "a")]
    assert first == [path.read_text() for path in finding_page.write(config, rows, tmp_path / "b")]
    text = (tmp_path / "a" / "findings.md").read_text()
    assert spread(judge(config, rows)[0].effects["conflict"]) in text
    assert "The better way: helps" in text
    assert "A second step: not yet run." in text
    better, same, worse = (points(judged.effects["conflict"].value) for judged in judge(config, rows)[:3])
    assert f"- Helps: the better way ({better}).\n- Harms, and harms where the cue agrees" in text
    assert f": the worse way ({worse}).\n- Makes no difference of 3 points: the same way ({same}).\n\n" in text
    for image in re.findall(r"\(images/([^)]+)\)", text):
        assert (tmp_path / "a" / "images" / image).read_text().startswith("<svg")
    page = (tmp_path / "a" / "findings.html").read_text()
    assert "The better way: helps" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_a_test_that_came_later_is_told_from_the_rows_that_have_it(config, tmp_path):
    config.tests["sparse-conflict"] = ["full"]
    rows = [replace(row, tests=dict(row.tests) | ({"sparse-conflict/full": row.tests["agree/full"]} if row.seed < 4 else {})) for row in rows_of(RIGHT)]
    finding_page.write(config, rows, tmp_path)
    text = (tmp_path / "findings.md").read_text()
    line = next(line for line in text.split("## By event")[1].splitlines() if line.startswith("| better − plain"))
    rest = [row for row in rows if row.seed < 4]
    assert (
        line
        == f"| better − plain | {spread(effects.effect(rows, 'better', 'plain', 'conflict'))} | {spread(effects.effect(rest, 'better', 'plain', 'agree'))} |"
    )


def test_nothing_at_all_makes_a_page_that_says_so(config, tmp_path):
    finding_page.write(config, [], tmp_path)
    text = (tmp_path / "findings.md").read_text()
    assert "Preliminary: 0 of 36 rows are there." in text
    assert "## In short" not in text
    assert "not yet run" in text


def test_a_plot_places_values_on_its_scale():
    svg = plots.rows_plot([Mark("Heading"), Mark("a", 0.0, -10.0, 10.0), Mark("b <x>", 10.0)], title="T", axis="points", zero=True)
    left, right = plots.LABEL, plots.WIDTH - 24
    assert f'<circle class="dot" cx="{(left + right) / 2}"' in svg
    assert f'<circle class="dot" cx="{float(right)}"' in svg
    assert f'x1="{float(left)}" x2="{float(right)}"' in svg
    assert "b &lt;x&gt;" in svg
    assert svg.count('class="dot"') == 2


CANDIDATES = """
  - {says: another look at the better way, arm: better, against: plain}
  - {says: the better way where nothing conflicts, arm: better, against: plain, family: two, slices: [agree]}
candidates:
  - {arm: better, steps: plain, cpu: same, unbiased: worse}
  - {arm: worse, steps: plain}
"""


def settled(config, says, *, cpu=effects.HELPS, elsewhere=effects.NOTHING, num_planned=6):
    """The standing of `better` where its comparison at equal CPU came out so."""
    better = judge(config, rows_of(RIGHT))[0]
    steps = replace(better, verdicts={"conflict": says, "agree": elsewhere, "static": effects.UNDECIDED})
    at_cpu = replace(better, verdicts={"conflict": cpu, "agree": effects.NOTHING, "static": effects.NOTHING}, num_planned=num_planned)
    unbiased = replace(better, verdicts=dict.fromkeys(better.slices, effects.UNDECIDED))
    return choice.Standing("better", steps, at_cpu, unbiased)


def test_a_variant_is_taken_by_the_rule(config):
    assert settled(config, effects.HELPS).whole
    assert not settled(config, effects.HELPS, cpu=effects.UNDECIDED).whole
    assert not settled(config, effects.HELPS, num_planned=7).whole, "a seed is missing"
    assert settled(config, effects.HELPS, cpu=effects.HARMS).at_steps
    assert not settled(config, effects.HELPS, elsewhere=effects.HARMS).at_steps
    assert not settled(config, effects.UNDECIDED).at_steps
    small = settled(config, effects.HELPS, cpu=effects.HARMS)
    large = replace(small, arm="larger", steps=replace(small.steps, effects={"conflict": replace(small.steps.effects["conflict"], value=0.5)}))
    assert choice.chosen([small, large]).arm == "larger"
    assert choice.chosen([settled(config, effects.HELPS), large]).arm == "better", "the whole rule goes before the larger effect"
    assert choice.chosen([settled(config, effects.UNDECIDED)]) is None


def test_the_page_says_which_variant_is_taken(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY + CANDIDATES)
    config = load(StudyConfig, tmp_path / "study.yaml")
    part = choice.section(config, find(config, rows_of(RIGHT)))
    better, worse = part.blocks[2].rows
    assert better[1].endswith("helps"), "neither the look nor the other slice stands in its place"
    assert better[2] == "not compared"
    assert worse[1].endswith("harms; harms where the cue agrees; harms where the scenery is asked about")
    assert "no variant meets the whole rule. better helps most" in part.blocks[1].texts[0]
    some = choice.section(config, find(config, rows_of(["plain", "better"], range(3))))
    assert "not settled; rows are missing for better, worse" in some.blocks[1].texts[0]
    finding_page.write(config, rows_of(RIGHT), tmp_path)
    assert f"## {choice.HEADING}" in (tmp_path / "findings.md").read_text()
