"""Questions, captions, keywords and spans say what the scene's specification says, in a closed vocabulary."""

from dataclasses import replace

import pytest

from videoperceiver import answers
from videoperceiver.errors import ConfigError
from videoperceiver.lab import accidents, tasks
from videoperceiver.lab.difficulty import DIFFICULTIES
from videoperceiver.lab.render import Event, Scene, Thing
from videoperceiver.lab.scenes import draw

SQUARE = Thing("square", "red", 4, ((0.0, 8.0, 16.0), (15.0, 24.0, 16.0)))
DISC = Thing("disc", "blue", 3, ((0.0, 16.0, 25.0), (15.0, 16.0, 25.0)))
FLASHES_THEN_POP = Scene(
    seed=0,
    things=(SQUARE, DISC),
    events=(
        Event("flash", 1, 1, "green"),
        Event("flash", 4, 2, "green"),
        Event("pop", 10, 1, "yellow", 1, 24, 8, 3),
        Event("jump", 12, 1, y_px=-9),
        Event("swap", 14, 1),
    ),
    camera="in",
)
GLARE_THEN_HIT = Scene(seed=0, things=(SQUARE, DISC), events=(Event("flash", 3, 2, "yellow"), Event("hit", 6, 1, x_px=-7)))


def test_every_signal_family_reads_its_answer_off_the_scene():
    found = {question.family: question.answer for question in tasks.questions(FLASHES_THEN_POP, list(tasks.FAMILIES))}
    asked = next(question.text for question in tasks.questions(FLASHES_THEN_POP, ["happens"]))
    assert found == {
        "flash_colour": "green",
        "pop_colour": "yellow",
        "count": "2",
        "when": "late",
        "order": "flash",
        "before_after": "before",
        "object_colour": "red",
        "happens": "yes" if "green" in asked else "no",
        "jump": "yes",
        "jump_direction": "up",
        "swap": "yes",
        "motion": "right",
        "location": "top-right",
        "camera": "in",
        "caption": tasks.caption(FLASHES_THEN_POP),
    }


@pytest.mark.parametrize(("x_px", "y_px", "what"), [(7, 0, "front"), (-7, 0, "rear"), (0, 7, "side"), (0, -7, "side")])
@pytest.mark.parametrize("heading", [1, -1])
def test_what_is_hit_depends_on_where_the_square_heads(x_px, y_px, what, heading):
    path = SQUARE.waypoints if heading == 1 else ((0.0, 24.0, 16.0), (15.0, 8.0, 16.0))
    scene = replace(GLARE_THEN_HIT, things=(replace(SQUARE, waypoints=path), DISC), events=(Event("hit", 6, 1, x_px=x_px * heading, y_px=y_px),))
    assert accidents.heading(scene) == heading
    assert tasks.facts_of(scene)["what"] == what


def test_accident_questions_caption_and_keywords():
    found = {question.family: question.answer for question in tasks.questions(GLARE_THEN_HIT, list(tasks.FAMILIES))}
    caption = "a red square . glare , then middle rear hit ."
    still = {"motion": "right", "camera": "still"}
    assert found == {"object_colour": "red", "what": "rear", "why": "glare", "when_hit": "middle", "caption": caption} | still
    assert tasks.phrases(GLARE_THEN_HIT) == ("glare", "middle rear hit")
    assert tasks.caption(GLARE_THEN_HIT) == caption


def test_caption_and_keywords_are_in_order_of_time():
    phrases = ("2 green flashes", "late yellow pop", "square jumps", "square and disc swap")
    assert tasks.phrases(FLASHES_THEN_POP) == phrases
    caption = tasks.caption(FLASHES_THEN_POP)
    assert caption == "a red square . 2 green flashes , then late yellow pop , then square jumps , then square and disc swap ."
    question = tasks.questions(FLASHES_THEN_POP, ["caption"], list_options=True)[0]
    assert (question.answer, question.kind, question.options) == (caption, "open", ())
    assert question.text in tasks.FAMILIES["caption"].templates


def test_a_question_without_an_answer_is_not_asked():
    scene = replace(FLASHES_THEN_POP, events=(Event("pop", 3, 1, "red", 1, 8, 8, 3),))
    asked = {
        question.family: question.answer for question in tasks.questions(scene, ["flash_colour", "count", "order", "happens", "jump_direction", "jump", "when"])
    }
    assert asked == {"jump": "no", "when": "early"}


def test_spans_hold_exactly_the_frames_of_their_event_and_are_as_long():
    spans = tasks.spans(FLASHES_THEN_POP)
    assert [span.label for span in spans] == ["green flash", "green flash", "yellow pop", "jump", "swap"]
    for span, event in zip(spans, FLASHES_THEN_POP.events, strict=True):
        inside = [frame for frame in range(16) if span.start_s <= frame / 4.0 <= span.end_s]
        assert inside == list(range(event.start, event.start + event.length))
        assert span.end_s - span.start_s == pytest.approx(event.length / 4.0)
    assert tasks.event_frames(FLASHES_THEN_POP) == (1, 4, 5, 10, 12, 14)


def test_yes_no_questions_have_true_negatives():
    scenes = [draw(seed, DIFFICULTIES["mixed"]).scene for seed in range(200)]
    for family in ("happens", "jump", "swap"):
        said = [tasks.questions(scene, [family], seed=seed)[0].answer for seed, scene in enumerate(scenes)]
        assert 70 < said.count("yes") < 130, family


def test_the_vocabulary_is_closed_small_and_lower_case():
    words = set(tasks.VOCABULARY)
    assert len(words) < 130
    assert [word for word in words if word != word.lower()] == ["Re-answer"]  # the paper's own spelling of its instruction
    for name, level in DIFFICULTIES.items():
        for seed in range(60):
            scene = draw(seed, level).scene
            asked = tasks.questions(scene, tasks.families_for(level), seed=seed, list_options=True)
            texts = [text for question in asked for text in (question.text, question.answer, *question.options)]
            texts += [*tasks.phrases(scene), tasks.caption(scene), tasks.REFEED_INSTRUCTION]
            assert {word for text in texts for word in text.split()} <= words, name


def test_paraphrases_are_all_used_and_fixed_by_the_seed():
    for name, family in tasks.FAMILIES.items():
        scene = GLARE_THEN_HIT if family.story == "accident" else FLASHES_THEN_POP
        texts = {tasks.questions(scene, [name], seed=seed)[0].text.split(" before ")[0] for seed in range(40)}
        assert len(texts) >= len(family.templates)
        assert tasks.questions(scene, [name], seed=5) == tasks.questions(scene, [name], seed=5)


def test_answers_are_single_words_that_the_shared_parser_tells_apart():
    for level in (DIFFICULTIES["moving"], DIFFICULTIES["accident"]):
        for seed in range(20):
            for question in tasks.questions(draw(seed, level).scene, tasks.families_for(level), seed=seed):
                if question.kind == "open":
                    continue
                assert question.answer in question.options
                scores = {option: answers.compare(option, question.answer, question.kind, question.options) for option in question.options}
                assert scores == {option: float(option == question.answer) for option in question.options}, question


def test_families_without_variety_are_left_out():
    assert "camera" not in tasks.families_for(DIFFICULTIES["faint"])
    assert "jump" not in tasks.families_for(DIFFICULTIES["faint"])
    assert {"camera", "jump", "swap"} <= set(tasks.families_for(DIFFICULTIES["moving"]))
    assert tasks.families_for(DIFFICULTIES["accident"]) == ("object_colour", "what", "why", "when_hit", "caption")


def test_static_families_are_those_that_no_event_decides():
    scene = draw(0, DIFFICULTIES["moving"]).scene
    with_events, without = (tasks.facts_of(one) for one in (scene, replace(scene, events=())))
    for name, family in tasks.FAMILIES.items():
        if family.static:
            assert with_events[name] == without[name]


def test_an_unknown_family_is_refused():
    with pytest.raises(ConfigError, match=r"flash_color.*flash_colour"):
        tasks.questions(FLASHES_THEN_POP, ["flash_color"])
