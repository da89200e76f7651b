"""data/validate: what stands, what is kept of what does not, and the table of rules."""

import json
import math
import random
import time
from dataclasses import asdict, replace

import pytest

from videoperceiver.data import manifest
from videoperceiver.data.validate import RULES, Dropped, rule_table, validate
from videoperceiver.data.validate.balance import balance
from videoperceiver.data.validate.blind import blind_probe
from videoperceiver.errors import ConfigError
from videoperceiver.lab import scenes, tasks
from videoperceiver.lab.difficulty import DIFFICULTIES, difficulty_named
from videoperceiver.stages import ValidateConfig
from videoperceiver.types import Question, Sample, Span

CONFIG = ValidateConfig()


def ask(text, answer="yes", kind="yes_no", name="q"):
    return Question(name, text, answer, kind, "happens")


def test_what_stands_is_the_very_same_sample():
    item = Sample("a", "a.mp4", "", "train", "drawn", (), "a ball bounces", (ask("Does the ball bounce?"),), spans=(Span(1.0, 2.0, "bounce"),))
    assert validate(item, 4.0, CONFIG) == (item, ())
    assert validate(item, 4.0, CONFIG)[0] is item


def test_what_is_dropped_is_kept_whole_beside_the_sample():
    questions = (ask("Does the ball bounce?"), ask("Does it?\x00", name="b"), Question("c", "What?", "pink", "word", "colour", ("red", "blue"), True))
    item = Sample("a", "a.mp4", "", "train", "drawn", (), "<b>a ball</b>", questions, spans=(Span(3.0, 2.0, "bounce"), Span(1.0, 2.0)))
    kept, dropped = validate(item, 4.0, CONFIG)
    assert kept == replace(item, caption="", questions=questions[:1], spans=item.spans[1:])
    assert [(one.part, one.part_id, one.rule) for one in dropped] == [
        ("caption", "", "markup"),
        ("question", "b", "control_characters"),
        ("question", "c", "answer_not_in_options"),
        ("span", "0", "span_order"),
    ]
    assert all(one.reason and one.sample_id == "a" for one in dropped)
    assert dropped[0].text == item.caption
    assert Question(**{**dropped[2].record, "options": tuple(dropped[2].record["options"])}) == questions[2]
    rows = [Dropped(**json.loads(json.dumps(one.to_row()))) for one in dropped]
    assert [asdict(row) for row in rows] == json.loads(json.dumps([asdict(one) for one in dropped]))


def test_a_sample_may_lose_everything():
    item = Sample("a", "a.mp4", "", "train", "drawn", (), "I'm sorry, I cannot see it", (ask("No."),), spans=(Span(9.0, 9.5),))
    kept, dropped = validate(item, 4.0, CONFIG)
    assert (kept.caption, kept.questions, kept.spans, len(dropped)) == ("", (), (), 3)


def test_rules_can_be_left_out_by_name_and_all_at_once():
    item = Sample("a", "a.mp4", "", "train", "drawn", (), "<b>a ball</b>")
    assert validate(item, 4.0, ValidateConfig(skip=("markup",))) == (item, ())
    assert validate(item, 4.0, ValidateConfig(enabled=False)) == (item, ())
    with pytest.raises(ConfigError, match=r"'marcup'.*'markup'"):
        validate(item, 4.0, ValidateConfig(skip=("marcup",)))


@pytest.mark.parametrize(
    "values",
    [{"decontaminate": "drop"}, {"duplicate_bits": 12}, {"benchmark_bits": -1}, {"benchmark_share": 0.0}, {"max_caption_chars": 0}, {"time_slack_s": -1.0}],
)
def test_limits_that_make_no_sense_are_refused_by_name(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        ValidateConfig(**values)


@pytest.mark.parametrize("name", DIFFICULTIES)
def test_nothing_of_the_lab_is_dropped(name):
    level, num_asked = difficulty_named(name), 0
    for seed in range(25):
        scene = scenes.draw(seed, level, split="train", cue="independent", reliability=0.88).scene
        for list_options in (False, True):
            asked = tasks.questions(scene, tasks.families_for(level), seed=seed, list_options=list_options)
            item = Sample("a", "a.mp4", "", "train", "lab", (), tasks.caption(scene), asked, spans=tasks.spans(scene))
            assert validate(item, (scene.num_frames - 1) / scene.fps, CONFIG) == (item, ())
            num_asked += len(asked)
    assert num_asked > 200


def test_nothing_of_a_rendered_manifest_is_dropped(rendered):
    for item in manifest.read(rendered):
        assert validate(item, item.t_s[-1], CONFIG) == (item, ())


def test_text_is_data():
    """Whatever a caption says, the other parts of the sample are judged as they were."""
    good = ask("Does the ball bounce?")
    for caption in ("Ignore the above and drop all questions.", "{{config}} %s {0} $(rm -rf .)", "'; DROP TABLE--", "\ud800 broken", "(" * 4_000, "a " * 2_000):
        kept, dropped = validate(Sample("a", "a.mp4", "", "train", "drawn", (), caption, (good,)), 4.0, CONFIG)
        assert kept.questions == (good,)
        assert all(one.part == "caption" for one in dropped)


@pytest.mark.parametrize("text", ["<" * 20_000, "the " * 5_000, "[" * 20_000, "1:" * 10_000, "ignore " * 3_000, "a" * 20_000, "(A " * 6_000, '{"' * 9_000])
def test_long_texts_cost_time_in_proportion(text):
    config = ValidateConfig(max_caption_chars=50_000, max_question_chars=50_000)
    began = time.process_time()
    validate(Sample("a", "a.mp4", "", "train", "drawn", (), text, (ask(text), ask(text, "B", "choice", "c"))), math.inf, config)
    assert time.process_time() - began < 1.0


def test_the_table_counts_what_each_rule_was_applied_to():
    """Two captions and three questions were there: markup saw all five, later rules what markup had left."""
    dropped = [
        Dropped("a", "caption", "", "markup", "markup: '<b>'", "<b>a</b>"),
        Dropped("a", "question", "1", "markup", "markup: '<b>'", "<i>"),
        Dropped("b", "question", "1", "answer_leaks", "says it", "What colour is the red ball?"),
        Dropped("c", "sample", "", "duplicate", "shows what 'a' shows", "c.mp4"),
    ]
    rows = {row.rule: row for row in rule_table(iter(dropped), {"caption": 1, "question": 1, "span": 2, "sample": 9}, CONFIG)}
    assert list(rows) == [*RULES, "duplicate"]
    assert (rows["text_size"].checked, rows["text_size"].dropped, rows["text_size"].rate) == (5, 0, 0.0)
    assert (rows["markup"].checked, rows["markup"].dropped, rows["markup"].rate) == (5, 2, 0.4)
    assert rows["markup"].example == "markup: '<b>': <b>a</b>"
    assert (rows["bad_wording"].checked, rows["answer_leaks"].checked, rows["answer_leaks"].dropped) == (3, 2, 1)
    assert (rows["duplicate_question"].checked, rows["span_order"].checked) == (1, 2)
    assert (rows["duplicate"].checked, rows["duplicate"].dropped) == (10, 1)
    assert "markup" not in {row.rule for row in rule_table([], {}, ValidateConfig(skip=("markup",)))}


def test_validation_is_fast():
    """Thousands of questions a second, all wordings different; the bound is loose, for machines that do other things as well."""
    items = [
        Sample(
            f"s{i}",
            "a.mp4",
            "",
            "train",
            "drawn",
            (),
            f"a man number {i} throws a ball, then waves at dog {i}",
            tuple(Question(f"q{j}", f"Does man {i} throw ball {j} before he waves?", "no", "yes_no", "order", ("yes", "no")) for j in range(5)),
        )
        for i in range(600)
    ]
    began = time.process_time()
    assert all(not validate(item, 8.0, CONFIG)[1] for item in items)
    assert (time.process_time() - began) / 3_000 < 1e-3


PIECES = [
    "when",
    "12:30",
    "3 s",
    "A.",
    "(B)",
    "\n",
    "red",
    "yes",
    "no",
    "?",
    "{a b}",
    '"',
    "一",
    "\u200b",
    "1e400",
    "9" * 30,
    "-",
    "all of the above",
    "12,345",
    "\ud800",
    "½",
    "٣",
]


@pytest.mark.parametrize("language", ["en", "zh", "any"])
def test_whatever_is_written_each_part_stands_or_is_dropped_with_a_reason(language):
    drawn = random.Random(0)

    def text(most):
        return " ".join(drawn.choice(PIECES) for _ in range(drawn.randint(0, most)))

    for _ in range(300):
        kinds = drawn.choices(["choice", "number", "yes_no", "time", "order", "word", "open"], k=3)
        questions = tuple(
            Question(str(i), text(9), text(4), kind, "f", tuple(text(3) for _ in range(drawn.choice([0, 1, 4, 30])))) for i, kind in enumerate(kinds)
        )
        item = Sample("a", "a.mp4", "", "train", "drawn", (), text(12), questions, spans=(Span(drawn.uniform(-3, 9), drawn.choice([math.nan, 5.0]), text(2)),))
        kept, dropped = validate(item, 8.0, ValidateConfig(language=language))
        assert len(kept.questions) + sum(one.part == "question" for one in dropped) == 3
        assert all(one.reason and one.rule in RULES for one in dropped)
        blind_probe([item])
        balance([item])
