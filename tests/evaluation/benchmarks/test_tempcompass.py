import pytest
from tests.evaluation.prediction_rows import row
from tests.evaluation.stand_ins import write_official

from videoperceiver.evaluation.benchmarks import tempcompass
from videoperceiver.types import Question

MATCH = Question("q", "t", "B", "choice", "caption_matching/order", ("A. he sits.", "B. he stands."))


def test_reads_three_forms_and_leaves_captions_out(tmp_path):
    got = tempcompass.load(write_official("tempcompass", tmp_path))
    [sample] = got.samples
    assert not got.rejects
    choice, yes_no, match = sample.questions
    assert (choice.answer, choice.options, choice.family) == ("B", ("A. runs", "B. walks"), "multi-choice/action")
    assert choice.text.endswith("\nPlease directly give the best option:")
    assert (yes_no.answer, yes_no.kind, yes_no.text) == ("no", "yes_no", "Is it fast?\nPlease answer yes or no:")
    assert (match.answer, match.options) == ("B", ("A. he sits.", "B. he stands."))


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("Option 2", "B"),
        ("Sentence B.", "B"),
        ("2", "B"),
        ("b)", "B"),
        ("he stands", "B"),
        ("Caption A: he sits.", "A"),
        ("Option 1 or Option 2", None),
        ("", None),
    ],
)
def test_a_caption_may_be_named_by_its_label(said, letter):
    given, score = tempcompass.read(said, MATCH)
    assert given == letter
    assert (score == 1.0) == (letter == "B")


def test_the_official_rules_want_exact_forms():
    def score(said, **fields):
        return tempcompass.official_score(row(None, reference="B", kind="choice", **fields) | {"completion": said, "options": ["A. runs", "B. walks"]})

    assert [score(said, family="multi-choice/action") for said in ("B", "B. walks", "B) walks", "The answer is B", None)] == [1, 1, 1, 0, 0]
    assert [score(said, family="caption_matching/order") for said in ("walks", "Option 2", "2.", "Sentence B: walks", "It is B")] == [1, 1, 1, 1, 0]
    yes = row(None, reference="no", kind="yes_no", family="yes_no/speed") | {"completion": "Nope, never", "options": ["yes", "no"]}
    assert tempcompass.official_score(yes) == 1.0  # all that begins with "no" is no


def test_mean_of_three_forms_then_aspects():
    rows = [row(1, family="multi-choice/action"), row(0, family="multi-choice/speed"), row(1, family="yes_no/action"), row(0, family="caption_matching/order")]
    table = tempcompass.BENCHMARK.table(rows)
    assert (table["Avg"], table["Multi-Choice"], table["action"], table["speed"]) == (50.0, 50.0, 100.0, 0.0)
    totals = {task: sum(count for family, count in tempcompass.BENCHMARK.counts.items() if family.startswith(task)) for task in tempcompass.TASKS}
    assert totals == {"multi-choice": 1580, "yes_no": 2453, "caption_matching": 1503}


def test_sample_rows(shared_dir):
    got = tempcompass.load(shared_dir / "samples" / "tempcompass")
    assert not got.rejects
    assert got.counts["caption_matching/direction"] == 6
    assert len(got.samples) == 2
