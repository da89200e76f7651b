"""The findings as sections of text, tables and plots; words of verdicts come from `effects.verdict`, numbers from the rows, nothing is typed in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from videoperceiver.lab import effects
from videoperceiver.lab.effects import Effect
from videoperceiver.lab.finding import EXPLORATORY, Finding, Judged
from videoperceiver.lab.plots import Mark, rows_plot
from videoperceiver.lab.study import STATIC

NOT_YET = "not yet"
WHERE = {
    "agree": "the cue agrees",
    "conflict": "the cue conflicts",
    "independent": "the cue says nothing",
    STATIC: "the scenery is asked about",
    "lasting-agree": "the cue agrees, events of 2-3 frames",
    "lasting-conflict": "the cue conflicts, events of 2-3 frames",
    "bright-conflict": "the cue conflicts, bright events of 1-3 frames",
    "halved-conflict": "the cue conflicts, half the frame rate",
    "sparse-conflict": "the cue conflicts, clips twice as long, half the density",
    "held-conflict/degraded": "the cue conflicts, as many frames held where nothing happens",
    "valid-agree": "the cue agrees (validation)",
    "valid-conflict": "the cue conflicts (validation)",
    "valid-independent": "the cue says nothing (validation)",
}
SHORT = {"independent": "no cue", STATIC: "scenery", "conflict/degraded": "conflict, on V'", "held-conflict/degraded": "conflict, held elsewhere"}
TONES = {effects.HELPS: "good", effects.HARMS: "bad"}


@dataclass(frozen=True)
class Table:
    """Cells of text under heads, a caption above."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """An SVG with its file's name and a description."""

    name: str
    svg: str
    said: str


@dataclass(frozen=True)
class Items:
    """A list."""

    texts: tuple[str, ...]


Block = str | Table | Picture | Items


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    heading: str
    blocks: tuple[Block, ...]


def points(value: float, *, sign: bool = True) -> str:
    """A share as points of a hundred."""
    if math.isnan(value):
        return NOT_YET
    return (f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}").replace("-", "\u2212")


def spread(effect: Effect) -> str:
    """Points with their interval."""
    return f"{points(effect.value)} ({points(effect.low)} to {points(effect.high)})" if not math.isnan(effect.low) else f"{points(effect.value)} (no interval)"


def p_words(value: float) -> str:
    """A p-value."""
    return NOT_YET if math.isnan(value) else "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 1 else "1"


def seeds_words(judged: Judged) -> str:
    """How much of what was planned is there."""
    return f"{judged.num_seeds} of {judged.num_planned} seeds"


def sentence(judged: Judged) -> str:
    """One claim in words: what it does where it decides, and elsewhere, at what cost."""
    name = judged.claim.says[:1].upper() + judged.claim.says[1:]
    if not judged.slices:
        return f"{name}: {NOT_YET} run."
    first, *others = judged.slices
    main = judged.effects[first]
    if len(main.seeds) < judged.num_planned:
        state = f"undecided yet, {seeds_words(judged)}: "
    else:
        state = f"{whole_verdict(judged)}: "
    said = f"{name}: {state}{spread(main)} points where {WHERE.get(first, first)}, above 0 in {main.num_above} of {len(main.seeds)} seeds"
    for other in others:
        said += f"; {WHERE.get(other, other)}: {spread(judged.effects[other])}"
    ratio = "" if math.isnan(judged.cost_ratio) else f" Cost: {judged.cost_ratio:.2f} times the CPU of what it is compared with."
    return said + "." + ratio


def whole_verdict(judged: Judged) -> str:
    """The verdict where the claim decides, and where else it harms: a gain may be paid for on another slice."""
    first, *others = judged.slices
    harmed = [WHERE.get(name, name) for name in others if judged.verdicts[name] == effects.HARMS]
    return ", and harms where ".join([judged.verdicts[first], *([" and ".join(harmed)] if harmed else [])])


def state(finding: Finding) -> list[Block]:
    """What is missing, said first."""
    done, planned = sum(arm.num_seeds for arm in finding.arms), sum(arm.num_planned for arm in finding.arms)
    if not finding.incomplete:
        return [f"The study is complete: {done} rows, one for each arm and seed."]
    begun = ", ".join(f"{arm.name} {arm.num_seeds} of {arm.num_planned}" for arm in finding.incomplete if arm.num_seeds)
    waiting = ", ".join(arm.name for arm in finding.incomplete if not arm.num_seeds)
    told = f"Preliminary: {done} of {planned} rows are there. Nothing whose seeds are missing gets a verdict."
    return [told, *([f"Seeds there are of what is begun: {begun}."] if begun else []), *([f"Not begun: {waiting}."] if waiting else [])]


def in_short(claims: Sequence[Judged]) -> Items:
    """The claims that decide by what is said of them, a line a verdict."""
    by_verdict: dict[str, list[str]] = {}
    for judged in claims:
        if judged.slices and len(judged.effects[judged.slices[0]].seeds) == judged.num_planned:
            by_verdict.setdefault(whole_verdict(judged), []).append(f"{judged.claim.says} ({points(judged.effects[judged.slices[0]].value)})")
    order = (effects.HELPS, effects.HARMS, effects.NOTHING, effects.UNDECIDED)
    ranked = sorted(by_verdict, key=lambda said: (next(i for i, word in enumerate(order) if said.startswith(word)), len(said)))
    return Items(tuple(f"{said[:1].upper()}{said[1:]}: {'; '.join(by_verdict[said])}." for said in ranked))


def claims_tables(family: str, members: Sequence[Judged]) -> list[Table]:
    """All claims of a family; explored ones, which look at many slices, in one table for each set of slices."""
    if family != EXPLORATORY:
        return [_claims_table(family, members)]
    groups: dict[tuple[str, ...], list[Judged]] = {}
    for judged in members:
        groups.setdefault(tuple(judged.claim.slices), []).append(judged)
    return [_claims_table(family, group) for group in groups.values()]


def _claims_table(family: str, members: Sequence[Judged]) -> Table:
    slices = list(dict.fromkeys(name for judged in members for name in judged.claim.slices))
    judges = family != EXPLORATORY
    heads = ("claim", "arm − against", "seeds", *(SHORT.get(name, name) for name in slices), *(("corrected p", "verdict") if judges else ()), "CPU")
    rows = []
    for judged in members:
        cells = [spread(judged.effects[name]) if name in judged.effects else NOT_YET if name in judged.claim.slices else "" for name in slices]
        p_value = p_words(judged.adjusted.get(judged.claim.slices[0], math.nan)) if judged.slices else NOT_YET
        said = (p_value, whole_verdict(judged) if judged.slices else NOT_YET) if judges else ()
        ratio = "" if math.isnan(judged.cost_ratio) else f"× {judged.cost_ratio:.2f}"
        rows.append((judged.claim.says, f"{judged.claim.arm} − {judged.claim.against}", seeds_words(judged).removesuffix(" seeds"), *cells, *said, ratio))
    title = f"{family[:1].upper()}{family[1:]}" if judges else "Explored, without verdicts"
    return Table(f"{title}: differences in points of accuracy with 95 % intervals", heads, tuple(rows))


def claims_plot(members: Sequence[Judged], name: str, file: str) -> Picture:
    """Every claim's effect on one slice."""
    marks, family = [], None
    for judged in members:
        if name not in judged.effects:
            continue
        if judged.claim.family != family:
            family = judged.claim.family
            marks.append(Mark(family[:1].upper() + family[1:]))
        found = judged.effects[name]
        tone = TONES.get(judged.verdicts[name], "")
        marks.append(
            Mark(
                f"{judged.claim.arm} − {judged.claim.against}",
                100 * found.value,
                100 * found.low,
                100 * found.high,
                tuple(100 * value for value in found.by_seed),
                tone,
                f"{len(found.seeds)} of {judged.num_planned} seeds",
            )
        )
    title = f"Effects where {WHERE.get(name, name)}"
    return Picture(file, rows_plot(marks, title=title, axis="difference in accuracy on V, points; small dots are seeds", zero=True), f"{title}, by claim.")


def arms_table(finding: Finding) -> Table:
    """Means of every arm that has rows."""
    slices = finding.slices
    heads = ("arm", "seeds", *(SHORT.get(name, name) for name in slices), "follows the cue (conflict)", "steps", "CPU s")
    rows = [
        (
            arm.name,
            f"{arm.num_seeds} of {arm.num_planned}",
            *(points(arm.accuracy[name], sign=False) for name in slices),
            points(arm.followed, sign=False),
            str(arm.steps),
            f"{arm.cpu_s:.0f}",
        )
        for arm in finding.arms
        if arm.num_seeds
    ]
    return Table("Mean accuracy in % over seeds, on V unless said otherwise", heads, tuple(rows))


def arms_plot(finding: Finding, name: str, file: str) -> Picture:
    """Every arm's accuracy on one slice, a faint dot a seed."""
    marks = [
        Mark(arm.name, 100 * arm.accuracy[name], dots=tuple(100 * value for value in arm.by_seed[name]), note=f"{len(arm.by_seed[name])} seeds")
        for arm in finding.arms
        if arm.by_seed[name]
    ]
    title = f"Accuracy where {WHERE.get(name, name)}, by arm"
    return Picture(file, rows_plot(marks, title=title, axis="accuracy on V, %; small dots are seeds", zero=False), title)
