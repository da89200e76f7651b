"""From what was counted to what the card says."""

from collections.abc import Mapping, Sequence
from typing import Any

from videoperceiver.data.card.blindness import blind_tables, blind_words
from videoperceiver.data.card.evenness import balance_tables
from videoperceiver.data.card.facts import RARE, Facts
from videoperceiver.data.card.papers import Papers, public
from videoperceiver.data.card.spread import Spread
from videoperceiver.data.validate.balance import Balance
from videoperceiver.data.validate.blind import Blind
from videoperceiver.pages import ClipFigure, words
from videoperceiver.pages.count_table import CountTable
from videoperceiver.pages.dataset_card import CardSection, DatasetCard
from videoperceiver.pages.histogram import Histogram

SHOWN_FAMILIES, SHOWN_REASONS = 24, 12
UNTOLD = "not told: those of whoever made the clips"
LOADING = """from datasets import load_dataset

rows = load_dataset("PATH")  # this folder, or its name on the hub; rows without pixels
print(rows["{split}"][0]["questions"])"""


def compose(name: str, facts: Facts, even: Balance, blind: Blind, papers: Papers, clips: Sequence[ClipFigure], unread: Sequence[str]) -> DatasetCard:
    """The card.

    Args:
        name: of the data set.
        facts: counted over the manifest.
        even: how evenly it asks.
        blind: what is guessed without looking.
        papers: of the run.
        clips: a few of it.
        unread: why others are not shown.
    """
    sections = [
        CardSection("contents", "What is in it", tables=_contents(facts, papers)),
        CardSection("spread", "How long the clips are, and how rare their events", histograms=_spreads(facts), sentences=_rarity(facts)),
        CardSection("questions", "Questions", tables=_families(facts)),
        CardSection("balance", "How evenly it asks", sentences=even.notes, tables=balance_tables(even)),
        _unseen(blind),
        CardSection("degraded", "Key frames and V′", "V′ is a clip without its key frames; it is stored as indices, not as pixels.", _degraded(facts)),
        CardSection("clips", "A few clips", sentences=unread, clips=clips),
        CardSection("left-out", "What was left out", tables=_left_out(papers), sentences=_alike(papers)),
        CardSection("made", "How its texts were made", tables=_annotators(facts), sentences=_spent(papers)),
        CardSection("loading", "Loading it", sentences=_loading_words(), code=LOADING.format(split=next(iter(facts.splits), "train"))),
        CardSection("notes", "How to read this", sentences=_notes(facts, papers)),
    ]
    settings = {"Recipe": papers.settings, "Made with": {**papers.versions, **({"commit": papers.git} if papers.git else {})}}
    return DatasetCard(name, _title(facts), _sentences(facts), _facts(facts, papers), [part for part in sections if _says(part)], settings)


def _says(section: CardSection) -> bool:
    return bool(section.sentences or section.histograms or section.tables or section.clips or section.code)


def _title(facts: Facts) -> str:
    asked = f" and {words.plural(facts.questions, 'question')}" if facts.questions else ""
    return f"{words.plural(facts.clips, 'clip')}{asked} on brief events"


def _sentences(facts: Facts) -> list[str]:
    text = []
    before, after = facts.share_before.mean, facts.share_after.mean
    if before is not None:
        text.append(f"Events take {words.percent(before, 1)} of the frames as sampled at the base rate, and {words.percent(after, 1)} after sparsification.")
    if facts.degraded:
        checked = f"; in {words.percent(facts.removed / facts.checked)} of those checked the event is gone from it" if facts.checked else ""
        text.append(f"{facts.degraded:,} of {words.plural(facts.clips, 'clip')} have a twin V′ without the key frames{checked}.")
    return text


def _facts(facts: Facts, papers: Papers) -> dict[str, str]:
    told = {
        "clips": f"{facts.clips:,}",
        "questions": f"{facts.questions:,}",
        "captions": f"{facts.captions:,}",
        "length in all": words.seconds(facts.durations.total) if facts.durations.count else words.MISSING,
        "frames": f"{int(facts.frames.total):,}",
        "annotated events": f"{facts.spans:,}",
        "clips with V′": words.percent(facts.degraded / facts.clips),
        "clips rejected": f"{sum(reason.count for reason in papers.rejects):,}",
    }
    return {name: value for name, value in told.items() if value != "0"}


def _contents(facts: Facts, papers: Papers) -> list[CountTable]:
    order = [split for split in ("train", "validation", "test") if split in facts.splits]
    splits = [(name, (split := facts.splits[name]).clips, split.questions, split.captions, split.degraded) for name in order]
    shared = f"{words.plural(facts.shared, 'video')} in more than one: a test on them is no test." if facts.shared else "No file is in two of them."
    tables = [CountTable("Splits", ("split", "clips", "questions", "captions", "with V′"), splits, bar=1, note=shared if len(order) > 1 else "")]
    sources = [(name or "(unnamed)", count, papers.terms_of(name) or UNTOLD) for name, count in facts.sources.most_common(SHOWN_FAMILIES)]
    return [*tables, CountTable("Sources", ("source", "clips", "terms of use"), sources, bar=1)]


def _spreads(facts: Facts) -> list[Histogram]:
    shares = [round(0.05 * k, 2) for k in range(21)]
    panels = [
        _histogram("Seconds from first to last frame", facts.durations, unit=" s"),
        _histogram("Frames of a clip", facts.frames),
        _histogram("Share of frames that V′ replaces", facts.replaced, edges=shares, percent=True),
        _histogram("Share of frames inside events, base rate", facts.share_before, edges=shares, percent=True),
        _histogram("The same after sparsification", facts.share_after, edges=shares, percent=True),
    ]
    return [panel for panel in panels if sum(panel.counts)]


def _histogram(title: str, spread: Spread, *, edges: Sequence[float] | None = None, percent: bool = False, unit: str = "") -> Histogram:
    edges = edges or spread.edges()
    return Histogram(title, edges, spread.bins(edges), spread.quantile(0.5), percent, unit)


def _rarity(facts: Facts) -> list[str]:
    if not facts.share_after.count:
        return ["No clip says where its events are, so their share of the frames is not known."]
    reached = facts.rare_after / facts.share_after.count
    missing = facts.clips - facts.share_after.count
    text = [f"{words.percent(reached)} of the clips reach the aim of at most {words.percent(RARE)}; a clip that is too short for it is kept as it is."]
    return text + (
        [f"{words.plural(missing, 'clip')} without known events {'is' if missing == 1 else 'are'} in neither of the two figures."] if missing else []
    )


def _families(facts: Facts) -> list[CountTable]:
    if not facts.questions:
        return []
    kinds = sorted({kind for family in facts.families.values() for kind in family.kinds})
    ranked = sorted(facts.families.items(), key=lambda item: (-item[1].questions, item[0]))
    rows = [(name or "(unnamed)", family.questions, *(family.kinds[kind] or None for kind in kinds)) for name, family in ranked[:SHOWN_FAMILIES]]
    static = sum(family.static for family in facts.families.values())
    note = "Columns on the right: how answers are read."
    note += f" {words.plural(static, 'question')} can be answered without the event." if static else ""
    note += f" The {len(ranked) - SHOWN_FAMILIES} smallest families are not listed." if len(ranked) > SHOWN_FAMILIES else ""
    heads = ("family", "questions", *(kind.replace("_", "/") for kind in kinds))
    return [CountTable("Question families and kinds of answer", heads, rows, bar=1, note=note)]


def _unseen(blind: Blind) -> CardSection:
    lead = "Simple guessers that never see the event, each fitted on other videos than those it is tried on."
    if not blind.num:
        return CardSection("blind", "")
    return CardSection("blind", "What can be answered without looking", lead, blind_words(blind), tables=blind_tables(blind))


def _degraded(facts: Facts) -> list[str]:
    if not facts.degraded:
        return ["No clip has one: nothing stood out as a key frame."]
    keys, replaced = facts.keyframes.quantile(0.5) or 0, facts.replaced.quantile(0.5)
    made = words.listing([f"{name} ({count:,})" for name, count in facts.operators.most_common()])
    text = [
        f"{facts.degraded:,} of {words.plural(facts.clips, 'clip')} have one ({words.percent(facts.degraded / facts.clips)}), made by {made}.",
        f"Half of the clips have {words.number(keys)} key frames or fewer; half of the twins replace {words.percent(replaced)} of the frames or less.",
    ]
    if facts.checked:
        text.append(
            f"Scored anew, {facts.removed:,} of {facts.checked:,} twins ({words.percent(facts.removed / facts.checked)}) have no event left where frames were "
            "replaced; in the others part of it remains, or its outcome shows as a jump."
        )
    else:
        text.append("What is left of the event in V′ was not measured.")
    return text


def _left_out(papers: Papers) -> list[CountTable]:
    tables = []
    refusing = sorted((rule for rule in papers.rules if rule.get("dropped")), key=lambda rule: -rule["dropped"])
    if refusing:
        rows = [_rule(rule) for rule in refusing[:SHOWN_FAMILIES]]
        heads = ("rule", "dropped", "of", "what it refuses", "for instance")
        tables.append(CountTable("Captions, questions, events and clips dropped", heads, rows, bar=1, note=f"All of them are in dropped.jsonl.{_idle(papers)}"))
    if papers.rejects:
        rows = [(public(reason.text), reason.count, public(reason.instance)) for reason in papers.rejects[:SHOWN_REASONS]]
        tables.append(CountTable("Clips rejected", ("reason", "clips", "for instance"), rows, note="All of them are in rejects.jsonl."))
    return tables


def _alike(papers: Papers) -> list[str]:
    """Clips that are too much like others, or like a benchmark's."""
    told = []
    for name, what in (("duplicates", "show and say what an earlier one did"), ("overlaps", "share frames with a benchmark’s videos")):
        if count := papers.result.get(name):
            told.append(f"{words.plural(int(count), 'clip')} left out because they {what}.")
    marked = papers.result.get("marked") or {}
    return told + [f"{words.plural(int(count), 'clip')} kept with the tag {name}." for name, count in marked.items() if count]


def _rule(rule: Mapping[str, Any]) -> tuple[object, ...]:
    checked, dropped = rule.get("checked"), rule["dropped"]
    share = f"{checked:,} ({words.percent(dropped / checked, 1)})" if checked else None
    return str(rule.get("rule", "unnamed")), dropped, share, str(rule.get("says", "")), public(str(rule.get("example", "")))


def _idle(papers: Papers) -> str:
    """The rules that were applied and refused nothing."""
    names = [str(rule.get("rule")) for rule in papers.rules if rule.get("checked") and not rule.get("dropped")]
    return f" {words.plural(len(names), 'further rule')} refused nothing: {words.listing(names, 30)}." if names else ""


def _annotators(facts: Facts) -> list[CountTable]:
    named = [(name or "the source itself", count) for name, count in facts.annotators.most_common(SHOWN_REASONS)]
    note = "Behind the @: the version of its prompts and settings." if any("@" in name for name, _ in named) else ""
    return [CountTable("Written by", ("annotator", "clips"), named, bar=1, note=note)]


def _spent(papers: Papers) -> list[str]:
    spent = papers.result.get("annotate")
    if not isinstance(spent, dict):
        return []
    parts = [f"{name.replace('_', ' ')} {words.number(value)}" for name, value in spent.items() if isinstance(value, int | float)]
    return [f"What the annotator wrote and took: {', '.join(parts)}."] if parts else []


def _loading_words() -> list[str]:
    return [
        "The folder splits holds the rows of manifest.parquet again, a file a split, in the column types that the package datasets knows.",
        "Media paths are relative to this folder; times are seconds of each video file.",
        "Frame i of V′ is frame degradation.source_idx[i] of V, where V is the frames at t_s.",
    ]


def _notes(facts: Facts, papers: Papers) -> list[str]:
    notes = ["Relevance, key frames and V′ come from the models named in the recipe; annotated events take their place where a source has them."]
    if facts.assumed:
        notes.append(f"{words.plural(facts.assumed, 'clip')} did not say when their pictures are shown; an even rate was assumed.")
    if facts.rejected:
        notes.append(f"A reviewer rejected {words.plural(facts.rejected, 'clip')}; training leaves them out, this card counts them.")
    for kind in ("image", "none"):
        if facts.media[kind]:
            what = {"image": "one picture", "none": "text alone"}[kind]
            notes.append(f"{words.plural(facts.media[kind], 'row')} of {what}, which have no frames to count.")
    return [*notes, *papers.notes]
