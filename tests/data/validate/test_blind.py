"""data/validate/blind.py: what leaks is found, what does not is not, and intervals are over videos."""

import hashlib
import math

import numpy as np
import pytest
from scipy.stats import t as student

from videoperceiver.data.validate.blind import ALL, blind_probe, colours
from videoperceiver.data.validate.intervals import clustered_share
from videoperceiver.lab import scenes, tasks
from videoperceiver.lab.difficulty import difficulty_named
from videoperceiver.lab.render import render
from videoperceiver.types import Question, Sample


def clip(i, *questions, t_s=(0.0, 10.0)):
    return Sample(f"s{i}", f"{i}.mp4", hashlib.sha256(str(i).encode()).hexdigest(), "train", "drawn", t_s, questions=questions)


def word(answer, text="what colour is it ?", family="colour", options=("red", "green", "blue", "white")):
    return Question("w", text, answer, "word", family, options)


def choice(answer, options, name="c"):
    return Question(name, "What?\n" + "\n".join(options), answer, "choice", "what", tuple(options))


def row(found, guesser, family=None):
    return next(item for item in found.rows if item.guesser == guesser and (family is None or item.family == family))


def drawn(num, seed=0):
    return np.random.default_rng(seed).integers(0, 4, num)


COLOURS = ("red", "green", "blue", "white")


def test_even_answers_do_not_leak():
    found = blind_probe(clip(i, word(COLOURS[k])) for i, k in enumerate(drawn(400)))
    assert found.leaking == []
    assert found.questions == ()
    assert row(found, "majority").accuracy.value == pytest.approx(0.25, abs=0.07)
    assert row(found, "majority").chance == 0.25
    assert {item.guesser for item in found.rows} == {"majority", "words"}  # no options by letter


def test_a_frequent_answer_leaks_by_majority():
    found = blind_probe(clip(i, word("red" if k else "blue")) for i, k in enumerate(drawn(400)))
    assert row(found, "majority", "colour · word").accuracy.value == pytest.approx(0.75, abs=0.07)
    assert [item.guesser for item in found.leaking] == ["majority", "words"]
    assert found.questions[0].guessers == ("majority", "words")
    assert len(found.questions) == 20


@pytest.mark.parametrize(("num", "leaks"), [(9, False), (10, True)])
def test_a_few_videos_do_not_leak_whatever_is_right(num, leaks):
    found = blind_probe(clip(i, word("red")) for i in range(num))
    assert row(found, "majority", ALL).accuracy.num == num
    assert bool(found.leaking) is leaks


def test_words_of_the_question_that_tell_the_answer_leak():
    found = blind_probe(clip(i, word(COLOURS[k], f"what colour is the {('apple', 'leaf', 'sky', 'snow')[k]} ?")) for i, k in enumerate(drawn(200)))
    assert row(found, "words", "colour · word").accuracy.value == 1.0
    assert [item.guesser for item in found.leaking] == ["words"]


def test_the_answer_itself_is_not_among_the_words():
    """Every question is worded alike: what is fitted on the answers of other videos cannot tell this one's."""
    found = blind_probe(clip(i, word(COLOURS[k])) for i, k in enumerate(drawn(400, seed=2)))
    assert row(found, "words").accuracy.value < 0.35


@pytest.mark.parametrize(("letters", "guesser"), [("BBBB", "position"), ("ABCD", "longest")])
def test_places_and_lengths_of_options_leak(letters, guesser):
    def options(k, i):
        made = [f"{'ab'[j % 2]}{i}{j}" for j in range(4)]
        right = "ABCD".index(letters[k])
        made[right] += " and then some more of it" if guesser == "longest" else ""
        return choice("ABCD"[right], made)

    found = blind_probe(clip(i, options(int(k), i)) for i, k in enumerate(drawn(200)))
    assert row(found, guesser, "what · choice").accuracy.value == 1.0
    assert guesser in {item.guesser for item in found.leaking}
    assert ("position" in {item.guesser for item in found.leaking}) == (letters == "BBBB")


def test_times_are_guessed_by_what_is_near_most_of_them():
    def when(seconds):
        return Question("t", "When does it bounce?", f"{seconds} s", "time", "when")

    rng = np.random.default_rng(0)
    even = blind_probe(clip(i, when(round(float(at), 2))) for i, at in enumerate(rng.uniform(0, 10, 300)))
    assert row(even, "majority", "when · time").chance == pytest.approx(0.1)  # a second of ten
    assert even.leaking == []
    middle = blind_probe(clip(i, when(round(float(at), 2))) for i, at in enumerate(rng.uniform(4, 6, 300)))
    assert row(middle, "majority", "when · time").accuracy.value == pytest.approx(0.5, abs=0.1)
    assert row(middle, "majority", "when · time").leaks


def test_an_open_class_is_guessed_among_the_answers_there_are():
    found = blind_probe(clip(i, Question("n", "How many?", str(k), "number", "count")) for i, k in enumerate(drawn(100)))
    assert row(found, "majority").chance == 0.25


def test_scenery_that_tells_the_answer_leaks_and_only_then():
    """Rendered clips: where static cues agree with the answers they can be told from V', where they are independent they cannot."""
    level = difficulty_named("bright")
    leaks = {}
    for cue in ("agree", "independent"):
        items, scenery = [], {}
        for i in range(90):
            scene = scenes.draw(i, level, split="train", cue=cue, reliability=0.88).scene
            items.append(clip(i, *tasks.questions(scene, ("flash_colour", "when"), seed=i)))
            frames = render(scene)
            scenery[f"s{i}"] = colours(np.delete(frames, tasks.event_frames(scene), axis=0))
        leaks[cue] = blind_probe(items, scenery=scenery)
    assert {item.family for item in leaks["agree"].leaking if item.guesser == "scenery"} >= {"flash_colour · word"}
    assert not [item for item in leaks["independent"].leaking if item.guesser == "scenery"]


def test_a_models_answers_on_v_prime():
    items = [clip(i, word(COLOURS[k])) for i, k in enumerate(drawn(60))]
    answers = {(item.id, "w"): item.questions[0].answer if i % 2 else "pink" for i, item in enumerate(items)}
    del answers["s0", "w"]
    found = row(blind_probe(items, predictions=answers), "model", "colour · word")
    assert (found.accuracy.num, found.leaks) == (59, True)
    assert found.accuracy.value == pytest.approx(30 / 59)


def test_what_cannot_be_guessed_at_is_left_aside():
    items = [clip(1, Question("o", "What happens?", "a ball bounces", "open", "caption"), Question("x", "Is it?", "perhaps", "yes_no", "happens"))]
    found = blind_probe(items)
    assert (found.rows, found.questions, found.num) == ((), (), 0)
    assert blind_probe([]).rows == ()


def test_a_bounded_number_is_held_whatever_the_order():
    items = [clip(i, word(COLOURS[k]), Question("n", "how many ?", str(k), "number", "count")) for i, k in enumerate(drawn(100))]
    found, turned = blind_probe(items, limit=40), blind_probe(items[::-1], limit=40)
    assert (found.num, found.num_left_out) == (40, 160)
    assert row(found, "majority", ALL).accuracy.num_videos == 20  # whole videos
    assert row(found, "majority", ALL).accuracy == row(turned, "majority", ALL).accuracy


def test_an_interval_over_videos_by_hand():
    """Videos of 2, 1 and 1 questions with 2, 0 and 1 right: residuals 0.5, -0.75, 0.25, so that s = sqrt(3 / 2 * 0.875) / 4."""
    found = clustered_share([1, 1, 0, 1, math.nan], [7, 7, 3, 5, 9])
    half = student.ppf(0.995, 2) * math.sqrt(1.5 * 0.875) / 4
    assert (found.value, found.num, found.num_videos) == (0.75, 4, 3)
    assert (found.low, found.high) == (pytest.approx(0.75 - half), pytest.approx(0.75 + half))
    doubled = clustered_share([1, 1, 0, 1] * 2, [7, 7, 3, 5] * 2)
    assert doubled.high - doubled.low == pytest.approx(2 * half)  # copies of a question tell nothing new
    assert math.isnan(clustered_share([1.0, 0.0], [1, 1]).low)
    assert clustered_share([], []).num == 0
    all_right = clustered_share([1.0] * 10, list(range(10)))  # Wilson: 10 / (10 + 2.5758^2)
    assert (all_right.low, all_right.high) == (pytest.approx(10 / (10 + 2.575829**2)), pytest.approx(1.0))


def test_a_handful_of_videos_never_leaks():
    few = [clip(i, word("red")) for i in range(9)]
    assert row(blind_probe(few), "majority", "colour · word").accuracy.value == 1.0
    assert blind_probe(few).leaking == []
    assert blind_probe([*few, clip(9, word("red"))]).leaking != []
