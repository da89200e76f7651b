"""What is asked about a rendered scene: questions, captions, keywords and spans, all read off the scene's specification.

Text is lower-case and whitespace-tokenised with punctuation as words, over the closed `VOCABULARY`; answers are one word.
"early" and "late" are the first and the last 3/8 of the frames; the questions do not repeat that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videoperceiver.errors import ConfigError
from videoperceiver.lab import accidents, signals
from videoperceiver.lab.difficulty import Difficulty, Story, when_class
from videoperceiver.lab.render import COLOUR_NAMES, Event, Scene
from videoperceiver.types import Question, QuestionKind, Span

REFEED_INSTRUCTION = "Re-answer with attention to fine-grained visual details ."
"""The paper's refeed instruction in the vocabulary's spelling."""

Facts = dict[str, str]
"""What a template may name and what an answer may be: family or slot -> word."""


@dataclass(frozen=True)
class Family:
    """One kind of question; its answer is the fact of the same name, and it is not asked where there is none.

    Attributes:
        templates: paraphrases; slots in braces are filled from the facts.
        options: the answer class.
        kind: how the answer is compared.
        mirrors: the public benchmark's category this one stands for.
        static: answerable without the events.
        story: the only story it is asked about, None for all.
    """

    templates: tuple[str, ...]
    options: tuple[str, ...]
    kind: QuestionKind = "word"
    mirrors: str = ""
    static: bool = False
    story: Story | None = "signals"


DIRECTIONS = ("left", "right", "up", "down")
CAMERAS = ("still", *DIRECTIONS, "in", "out", "shake")
CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
YES_NO = ("yes", "no")
_SIGNALS, _ACCIDENT = signals.ANSWERS, accidents.ANSWERS

FAMILIES: dict[str, Family] = {
    "flash_colour": Family(("what colour is the flash ?", "which colour does the frame flash ?"), COLOUR_NAMES),
    "pop_colour": Family(("what colour is the pop ?", "which colour does the small pop have ?"), COLOUR_NAMES),
    "count": Family(("how many flashes are there ?", "how many times does the frame flash ?"), _SIGNALS["count"], "number", "MotionBench repetition count"),
    "when": Family(("when is the pop ?", "when does the pop happen ?"), _SIGNALS["when"]),
    "order": Family(
        ("which comes first , the flash or the pop ?", "what happens first , the flash or the pop ?"), _SIGNALS["order"], mirrors="MotionBench action order"
    ),
    "before_after": Family(("is the flash before or after the pop ?",), ("before", "after"), mirrors="MotionBench action order"),
    "object_colour": Family(("what colour is the square ?", "which colour does the square have ?"), COLOUR_NAMES, static=True, story=None),
    "happens": Family(("is there a {asked_colour} flash ?", "does the frame flash {asked_colour} ?"), YES_NO, "yes_no"),
    "jump": Family(("does the square jump ?", "is there a jump ?"), YES_NO, "yes_no", "MotionBench motion recognition"),
    "jump_direction": Family(("which way does the square jump ?",), DIRECTIONS, mirrors="MotionBench motion-related objects"),
    "swap": Family(("do the square and the disc swap ?", "is there a swap ?"), YES_NO, "yes_no", "MotionBench motion-related objects"),
    "motion": Family(("how does the square move ?",), (*DIRECTIONS, "circle", "still"), mirrors="MotionBench motion recognition", static=True),
    "location": Family(("where is the pop ?", "in which corner is the pop ?"), CORNERS, mirrors="MotionBench location-related motion"),
    "camera": Family(("how does the camera move ?",), CAMERAS, mirrors="MotionBench camera motion", static=True),
    "what": Family(
        ("which part of the square is hit ?", "where does the disc hit the square ?"), _ACCIDENT["what"], mirrors="VRU-Accident accident type", story="accident"
    ),
    "why": Family(
        ("why does the disc hit the square ?", "what is the reason of the hit ?"), _ACCIDENT["why"], mirrors="VRU-Accident accident reason", story="accident"
    ),
    "when_hit": Family(("when is the hit ?", "when does the disc hit the square ?"), _ACCIDENT["when_hit"], story="accident"),
    "caption": Family(("describe the video .", "what happens in the video ?"), (), "open", "VRU-Accident dense caption", story=None),
}
"""Every family of TransientEvents-v1."""

EVENT_FAMILIES = tuple(signals.ANSWERS)
"""The families of flashes and pops that a static cue can tell: what the shortcut splits are about."""
DEMO_FAMILIES = (*EVENT_FAMILIES, "object_colour")
"""What the demo asks: five event families and a dense one."""


def families_for(difficulty: Difficulty) -> tuple[str, ...]:
    """The families whose answers vary at a difficulty: none about jumps and swaps where there are none, nor about a camera that never moves."""
    absent = set() if difficulty.extra_share else {"jump", "jump_direction", "swap"}
    absent |= set() if len(difficulty.cameras) > 1 else {"camera"}
    return tuple(name for name, family in FAMILIES.items() if name not in absent and family.story in (None, difficulty.story))


def questions(scene: Scene, families: Sequence[str] = DEMO_FAMILIES, *, seed: int = 0, list_options: bool = False) -> tuple[Question, ...]:
    """The questions of the given families that apply to a scene.

    Args:
        scene: what is asked about.
        families: names in `FAMILIES`.
        seed: chooses paraphrases and what yes/no questions ask for.
        list_options: append the answer class to each question, as a model needs that was not trained on it.

    Returns:
        One question a family, in the order given; families without an answer in this scene are left out.

    Raises:
        ConfigError: for a family that does not exist.
    """
    if unknown := [name for name in families if name not in FAMILIES]:
        raise ConfigError(f"question families {unknown} are unknown; there are {', '.join(FAMILIES)}")
    rng = np.random.default_rng([seed, 3])
    facts, found = facts_of(scene), []
    flash_colour = facts.get("flash_colour", COLOUR_NAMES[0])
    others = [colour for colour in COLOUR_NAMES if colour != flash_colour]
    facts = facts_of(scene, asked_colour=str(rng.choice([flash_colour, rng.choice(others)])))
    for name in families:
        family, answer = FAMILIES[name], facts.get(name)
        template = family.templates[rng.integers(len(family.templates))]
        if answer is None:
            continue
        text = template.format(**facts) + (f" {_listed(family.options)} ?" if list_options and family.options else "")
        found.append(Question(id=name, text=text, answer=answer, kind=family.kind, family=name, options=family.options, static=family.static))
    return tuple(found)


def answer_of(scene: Scene, question: Question) -> str | None:
    """What the answer to an already posed question is in a scene; None where it does not apply."""
    asked = next((word for word in question.text.split() if word in COLOUR_NAMES), "")
    return facts_of(scene, asked_colour=asked).get(question.family)


def facts_of(scene: Scene, *, asked_colour: str = "") -> Facts:
    """Everything templates name and answers are, read off the specification.

    Args:
        scene: what happens.
        asked_colour: what a yes/no question asks for.
    """
    facts = {"asked_colour": asked_colour, "object_colour": scene.things[0].colour, "camera": scene.camera, "motion": _motion(scene)}
    facts |= _accident_facts(scene) if scene.of_kind("hit") else _signal_facts(scene, asked_colour)
    return facts | {"caption": f"a {scene.things[0].colour} square . {' , then '.join(_phrases(scene, facts))} ."}


def _signal_facts(scene: Scene, asked_colour: str) -> Facts:
    flashes, pops, jumps = scene.of_kind("flash"), scene.of_kind("pop"), scene.of_kind("jump")
    facts = {"jump": "yes" if jumps else "no", "swap": "yes" if scene.of_kind("swap") else "no"}
    if flashes:
        happens = "yes" if flashes[0].colour == asked_colour else "no"
        facts |= {"flash_colour": flashes[0].colour, "count": str(len(flashes)), "happens": happens}
    if pops:
        pop, middle = pops[0], scene.size_px / 2
        facts |= {"pop_colour": pop.colour, "when": when_class(pop.start, scene.num_frames)}
        facts["location"] = f"{'top' if pop.y_px < middle else 'bottom'}-{'left' if pop.x_px < middle else 'right'}"
    if flashes and pops:
        flash_first = flashes[0].start < pops[0].start
        facts |= {"order": "flash" if flash_first else "pop", "before_after": "before" if flash_first else "after"}
    if jumps:
        facts["jump_direction"] = _direction(jumps[0].x_px, jumps[0].y_px)
    return facts


def _accident_facts(scene: Scene) -> Facts:
    hit = scene.of_kind("hit")[0]
    ahead = hit.x_px * accidents.heading(scene)
    facts = {"what": "side" if hit.y_px else "front" if ahead > 0 else "rear", "when_hit": when_class(hit.start, scene.num_frames)}
    causes = {"flash": "glare", "pop": "obstacle", "jump": "swerve"}
    seen = [causes[event.kind] for event in scene.events if event.kind in causes]
    return facts | ({"why": seen[0]} if seen else {})


def _phrases(scene: Scene, facts: Facts) -> tuple[str, ...]:
    """Event phrases in order of time."""
    if scene.of_kind("hit"):
        hit = f"{facts['when_hit']} {facts['what']} hit"
        return (facts["why"], hit) if "why" in facts else (hit,)
    said = {"jump": "square jumps", "swap": "square and disc swap"}
    if "pop_colour" in facts:
        said["pop"] = f"{facts['when']} {facts['pop_colour']} pop"
    if "flash_colour" in facts:
        said["flash"] = f"{facts['count']} {facts['flash_colour']} {'flash' if facts['count'] == '1' else 'flashes'}"
    return tuple(dict.fromkeys(said[event.kind] for event in scene.events))


def phrases(scene: Scene) -> tuple[str, ...]:
    """Event phrases in order of time: the keywords of the clip, each part of its caption."""
    return _phrases(scene, facts_of(scene))


def caption(scene: Scene) -> str:
    """What happens, in words."""
    return facts_of(scene)["caption"]


def main_event(scene: Scene) -> Event:
    """The event that `when` questions are about: the hit or the pop."""
    return (scene.of_kind("hit") or scene.of_kind("pop"))[0]


def spans(scene: Scene) -> tuple[Span, ...]:
    """When each event is seen, in source seconds.

    A frame is shown from its timestamp to the next one's; both ends lie 1 ms before such a boundary, so that exactly the event's
    frames have their timestamps inside and the length is that of the frames.
    """
    edge = 1e-3
    return tuple(Span(max(0.0, e.start / scene.fps - edge), (e.start + e.length) / scene.fps - edge, f"{e.colour} {e.kind}".strip()) for e in scene.events)


def event_frames(scene: Scene) -> tuple[int, ...]:
    """Indices of the frames in which any event is seen."""
    return tuple(sorted({frame for event in scene.events for frame in range(event.start, event.start + event.length)}))


def _motion(scene: Scene) -> str:
    """Name of the square's motion, from its waypoints."""
    waypoints = list(scene.things[0].waypoints)
    if len(waypoints) > 2:
        return "circle"
    (_, x0, y0), (_, x1, y1) = waypoints[0], waypoints[-1]
    return "still" if (x0, y0) == (x1, y1) else _direction(x1 - x0, y1 - y0)


def _direction(dx: float, dy: float) -> str:
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def _listed(options: Sequence[str]) -> str:
    return f"{' , '.join(options[:-1])} or {options[-1]}"


def _vocabulary() -> tuple[str, ...]:
    """Every word that templates, answers, captions, keywords and instructions can produce."""
    texts = [template.format(asked_colour="") for family in FAMILIES.values() for template in family.templates]
    texts += [option for family in FAMILIES.values() for option in family.options]
    texts += [REFEED_INSTRUCTION, "a square . , then flash flashes pop jumps swap and disc hit", ". ; , or"]
    return tuple(sorted({word for text in texts for word in text.split()}))


VOCABULARY = _vocabulary()
"""All words, for a word-level tokenizer."""
