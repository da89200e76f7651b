"""Writes the findings: docs/findings.md, its plots, and one self-contained HTML page, all from the rows."""

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from videoperceiver.lab import choice, effects
from videoperceiver.lab.finding import EXPLORATORY, Finding, answered, find, judge
from videoperceiver.lab.finding_words import (
    WHERE,
    Block,
    Items,
    Picture,
    Section,
    Table,
    arms_plot,
    arms_table,
    claims_plot,
    claims_tables,
    in_short,
    sentence,
    spread,
    state,
)
from videoperceiver.lab.rows import Row
from videoperceiver.lab.study import StudyConfig
from videoperceiver.pages.html import page, render
from videoperceiver.pages.markdown import grid
from videoperceiver.runs import write_atomic

TITLE = "The lab's findings"
NEW_SEEDS = range(5, 10)
"""Seeds on which nothing had been run when the plan was written."""
INTRO = """\
What each ingredient of the method does on [rendered events](lab-benchmark.md), on two processor cores. The [plan](lab-plan.md) was written first and
says how the words below follow from the numbers.

*This page is written by `videoperceiver lab report recipes/lab/full.yaml --rows docs/results/lab/full.jsonl --probes docs/results/lab/probes.jsonl`
from files in which every answer of every arm is kept as a bit. The same as one file to download: [findings.html](findings.html).*"""
SHORTLY = "What was planned, by its verdict, with the points of accuracy where each claim decides (for most of them where the cue conflicts)."
LIMITS = (
    "Models have 1.3 million parameters, clips are 16 frames of 32 pixels, training takes minutes."
    " An effect here is a reason to test it on real video, not a result about it.",
    "An interval holds for new seeds: new clips, new backbone, new order. It does not hold for other sizes, other cues or other events.",
    "The settings of the arms are those that were chosen for the full stage 1 (see the plan); an ingredient alone might do better with settings of its own.",
    "CPU is processor time of one thread on a machine whose speed changes by up to a third within the hour; ratios of it are good to a tenth.",
)


def sections(config: StudyConfig, rows: Sequence[Row], extra: Sequence[Section] = ()) -> list[Section]:
    """The page, from top to bottom."""
    finding = find(config, rows)
    families = list(dict.fromkeys(judged.claim.family for judged in finding.claims))
    planned = [family for family in families if family != EXPLORATORY]
    told = [sentence(judged) for judged in finding.claims if judged.claim.family in planned or not planned]
    plots = _plots(finding)
    parts = [Section("Where the study stands", tuple(state(finding)))]
    short = in_short([judged for judged in finding.claims if judged.claim.family in planned])
    if short.texts:
        parts.append(Section("In short", (SHORTLY, short, *plots[:1])))
    parts.append(Section("What each ingredient does", (Items(tuple(told)), *plots[bool(short.texts) :])))
    if config.candidates:
        parts.append(choice.section(config, finding))
    tables = [table for family in families for table in claims_tables(family, [judged for judged in finding.claims if judged.claim.family == family])]
    parts.append(Section("Claims in numbers", tuple(tables)))
    if planned:
        parts.append(Section("By question", (_by_question(rows, finding),)))
        parts.append(Section("By event", (_by_event(finding, rows),)))
        parts.append(Section("Seeds that nobody had seen", tuple(_new_seeds(config, rows))))
    first = finding.claims[0].claim.slices[0] if finding.claims else finding.slices[0]
    parts.append(Section("Arms", (arms_table(finding), arms_plot(finding, first, f"lab-arms-{first}.svg"))))
    parts += extra
    parts.append(
        Section("How far this goes", (Items(LIMITS), f"Code that trained the rows: {', '.join(commit[:12] for commit in finding.commits) or 'none'}."))
    )
    return parts


def _plots(finding: Finding) -> list[Picture]:
    """The effects on each slice that several claims name and rows have; the deciding ones first. With two seeds an interval is 12.7 standard errors
    each way: such claims would set the scale, and are in the tables alone."""
    shown = [judged for judged in finding.claims if judged.num_planned > 2] or finding.claims
    named = Counter(name for judged in shown for name in judged.slices)
    return [claims_plot(shown, name, f"lab-claims-{name.replace('/', '-')}.svg") for name, times in named.items() if times > 1]


def _by_question(rows: Sequence[Row], finding: Finding) -> Table:
    """Effects on conflicting clips a question: `count` is the one that V' itself can tell."""
    lines, asked = [], tuple(name for name, static in zip(rows[0].questions, rows[0].static, strict=True) if not static) if rows else ()
    for judged in finding.claims:
        if judged.claim.family != EXPLORATORY and "conflict" in judged.effects:
            cells = [spread(effects.effect(rows, judged.claim.arm, judged.claim.against, f"conflict:{question}")) for question in asked]
            lines.append((f"{judged.claim.arm} − {judged.claim.against}", *cells))
    return Table("Differences where the cue conflicts, in points, with 95 % intervals that are not corrected", ("arm − against", *asked), tuple(lines))


def _by_event(finding: Finding, rows: Sequence[Row]) -> Table:
    """Effects on every test whose cues conflict: length, contrast, frame rate and density of the events differ, training does not."""
    tests = [name for name in finding.slices if "conflict" in name and name != "conflict/degraded"]
    lines = []
    for judged in finding.claims:
        if judged.claim.family != EXPLORATORY and "conflict" in judged.effects:
            found = [effects.effect([row for row in rows if answered(row, name)], judged.claim.arm, judged.claim.against, name) for name in tests]
            lines.append((f"{judged.claim.arm} − {judged.claim.against}", *map(spread, found)))
    heads = ("arm − against", *("as trained on" if name == "conflict" else WHERE.get(name, name).removeprefix("the cue conflicts, ") for name in tests))
    return Table("Differences where the cue conflicts, in points, with 95 % intervals that are not corrected", heads, tuple(lines))


def _new_seeds(config: StudyConfig, rows: Sequence[Row]) -> list[Block]:
    """Claims whose arms the demo had run on seeds 0 to 4, on the others alone."""
    known = {"plain", "full", "full-stage2"}
    told = [sentence(j) for j in judge(config, rows, NEW_SEEDS) if {j.claim.arm, j.claim.against} <= known]
    return [
        "Plain fine-tuning, the full stage 1 and stage 2 after it, as recipes/tiny then had it, had been run on seeds 0 to 4 before the plan."
        " On seeds 5 to 9 alone:",
        Items(tuple(told)),
    ]


def write(config: StudyConfig, rows: Sequence[Row], docs: Path, extra: Sequence[Section] = ()) -> list[Path]:
    """Writes findings.md, findings.html and the plots below a folder of documents; returns what it wrote."""
    parts = sections(config, rows, extra)
    pictures = [block for part in parts for block in part.blocks if isinstance(block, Picture)]
    (docs / "images").mkdir(parents=True, exist_ok=True)
    written = [write_atomic(docs / "images" / picture.name, picture.svg) for picture in pictures]
    written.append(write_atomic(docs / "findings.md", markdown(parts)))
    written.append(write_atomic(docs / "findings.html", html(parts)))
    return written


def markdown(parts: Sequence[Section]) -> str:
    """The page as Markdown."""
    texts = [f"# {TITLE}", INTRO]
    for part in parts:
        texts += [f"## {part.heading}", *(_markdown(block) for block in part.blocks)]
    return "\n\n".join(texts) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Table():
            return f"**{block.caption}**\n\n{grid(block.heads, block.rows)}"
        case Picture():
            return f"![{block.said}](images/{block.name})"
        case Items():
            return "\n".join(f"- {text}" for text in block.texts)
    return block


def html(parts: Sequence[Section]) -> str:
    """The page as one file that loads nothing."""
    blocks = [(part.heading, [_typed(block) for block in part.blocks]) for part in parts]
    return page(TITLE, render("findings", title=TITLE, sections=blocks), description="What each ingredient of VideoPerceiver does on rendered events.")


def _typed(block: Block) -> tuple[str, object]:
    """What the template needs to know of a block: its kind and its content."""
    if isinstance(block, Picture):
        return "picture", (f"data:image/svg+xml;base64,{base64.b64encode(block.svg.encode()).decode()}", block.said)
    return ("text" if isinstance(block, str) else type(block).__name__.lower()), block
