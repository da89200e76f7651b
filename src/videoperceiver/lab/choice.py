"""Which variant the recipes take, by a rule: it helps where the cue conflicts and harms nothing, at equal steps and at equal CPU."""

from collections.abc import Sequence
from dataclasses import dataclass

from videoperceiver.lab import effects
from videoperceiver.lab.finding import EXPLORATORY, Finding, Judged
from videoperceiver.lab.finding_words import NOT_YET, WHERE, Items, Section, Table, seeds_words, spread
from videoperceiver.lab.study import CandidateConfig, StudyConfig

HEADING = "Which variant the recipes take"
RULE = (
    "The rule: it helps where the cue conflicts and harms no other slice, at equal steps and at equal CPU, and harms nothing where there is no shortcut"
    " (the words are those of the plan, corrected). Where no variant does all of it, the one that helps most at equal steps without harm is taken,"
    " and this page says what it costs."
)
STAGES = {"sft": "Stage 1", "grpo": "Stage 2"}


@dataclass(frozen=True)
class Standing:
    """A candidate and the claims that concern it; None where the plan has no such comparison."""

    arm: str
    steps: Judged | None
    cpu: Judged | None
    unbiased: Judged | None

    @property
    def at_steps(self) -> bool:
        """Whether it may be taken at all."""
        return helps(self.steps)

    @property
    def whole(self) -> bool:
        """Whether it does all that the rule asks."""
        return helps(self.steps) and helps(self.cpu) and self.unbiased is not None and complete(self.unbiased) and not harmed(self.unbiased)


def complete(judged: Judged) -> bool:
    """Whether all its seeds are there."""
    return 0 < judged.num_planned <= judged.num_seeds


def harmed(judged: Judged) -> list[str]:
    """The slices on which it harms."""
    return [name for name in judged.slices if judged.verdicts[name] == effects.HARMS]


def helps(judged: Judged | None) -> bool:
    """Whether it helps where it decides, and harms nowhere."""
    return judged is not None and complete(judged) and judged.verdicts[judged.slices[0]] == effects.HELPS and not harmed(judged)


def standings(finding: Finding, candidates: Sequence[CandidateConfig]) -> list[Standing]:
    """Every candidate with the claims that the plan has about it; exploration decides nothing."""
    deciding = [judged for judged in finding.claims if judged.claim.family != EXPLORATORY]
    claims = {(judged.claim.arm, judged.claim.against, judged.claim.slices[0]): judged for judged in reversed(deciding)}

    def of(arm: str, against: str) -> Judged | None:
        return claims.get((arm, against, "conflict"))

    return [Standing(c.arm, of(c.arm, c.steps), of(c.arm, c.cpu), next((j for j in deciding if j.claim.arm == c.unbiased), None)) for c in candidates]


def chosen(found: Sequence[Standing]) -> Standing | None:
    """The one to take: of those that meet the whole rule, else of those that help at equal steps, the one with the largest effect there."""
    able = [s for s in found if s.whole] or [s for s in found if s.at_steps]
    return max(able, key=lambda s: s.steps.effects[s.steps.slices[0]].value if s.steps else 0.0, default=None)


def section(config: StudyConfig, finding: Finding) -> Section:
    """The rule, how each candidate stands, and what follows for each stage."""
    found = standings(finding, config.candidates)
    heads = ("variant", "at equal steps", "at equal CPU", "no shortcut", "meets the rule")
    rows = tuple((s.arm, _cell(s.steps), _cell(s.cpu), _cell(s.unbiased), "yes" if s.whole else "no") for s in found)
    stages = {stage: [s for s in found if config.arms[s.arm].stage == stage] for stage in STAGES}
    told = tuple(f"{STAGES[stage]}: {_follows(members)}" for stage, members in stages.items() if members)
    return Section(HEADING, (RULE, Items(told), Table("Effect where each comparison decides, in points, and what is harmed", heads, rows)))


def _cell(judged: Judged | None) -> str:
    if judged is None:
        return "not compared"
    if not judged.slices:
        return NOT_YET
    first = judged.slices[0]
    verdict = judged.verdicts[first] if complete(judged) else f"undecided yet, {seeds_words(judged)}"
    words = [f"{spread(judged.effects[first])}, {verdict}", *(f"harms where {WHERE.get(name, name)}" for name in harmed(judged) if name != first)]
    return "; ".join(words)


def _follows(members: Sequence[Standing]) -> str:
    waiting = [s.arm for s in members for judged in (s.steps, s.cpu, s.unbiased) if judged is not None and not complete(judged)]
    if waiting:
        return f"not settled; rows are missing for {', '.join(dict.fromkeys(waiting))}."
    best = chosen(members)
    if best is None:
        return "no variant helps at equal steps without harm, so none is recommended for what it does; the paper's stays as the reproduction."
    if best.whole:
        return f"{best.arm} meets the whole rule."
    rest = f"at equal CPU: {_cell(best.cpu)}; where there is no shortcut: {_cell(best.unbiased)}"
    return f"no variant meets the whole rule. {best.arm} helps most of those that help at equal steps without harm, and is taken. {rest[:1].upper()}{rest[1:]}."
