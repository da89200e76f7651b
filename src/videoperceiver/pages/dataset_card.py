"""The card of a data set: what is in it, how it was made, what was left out; as a page and as Markdown from one record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from videoperceiver.pages.clip import clip_figure
from videoperceiver.pages.count_table import CountTable, as_text, count_table
from videoperceiver.pages.figures import ClipFigure
from videoperceiver.pages.histogram import Histogram, histograms, said, spark
from videoperceiver.pages.html import page, render
from videoperceiver.pages.markdown import grid, plain


@dataclass(frozen=True)
class CardSection:
    """A part of the card; empty parts are left out.

    Attributes:
        key: unique within the card.
        heading: of the section.
        lead: a sentence under it.
        sentences: findings in words.
        histograms: drawn side by side; a line each in Markdown.
        tables: of counts.
        clips: as timeline and filmstrip; on the page alone.
        code: to be typed.
    """

    key: str
    heading: str
    lead: str = ""
    sentences: Sequence[str] = ()
    histograms: Sequence[Histogram] = ()
    tables: Sequence[CountTable] = ()
    clips: Sequence[ClipFigure] = ()
    code: str = ""


@dataclass(frozen=True)
class DatasetCard:
    """Everything a card says.

    Attributes:
        name: of the data set.
        title: what it is, as a sentence.
        sentences: what else is worth one.
        facts: short label -> value.
        sections: in order.
        settings: heading -> name -> value.
    """

    name: str
    title: str
    sentences: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[CardSection] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def dataset_page(card: DatasetCard) -> str:
    """The whole page."""
    sections = [
        (section, histograms(section.histograms), [count_table(table) for table in section.tables], [clip_figure(clip) for clip in section.clips])
        for section in card.sections
    ]
    settings = {heading: dict(values) for heading, values in card.settings.items() if values}
    body = render("dataset_card", card=card, sections=sections, settings=settings)
    return page(f"{card.name}: {card.title}", body, description=card.sentences[0] if card.sentences else card.title)


def dataset_markdown(card: DatasetCard) -> str:
    """The same without pictures; every text as it is, whatever markup it holds."""
    parts = [f"# {plain(card.name)}", f"{plain(card.title)}.", *(plain(text) for text in card.sentences)]
    for section in card.sections:
        if section.sentences or section.tables or section.histograms or section.code:  # else it is pictures alone
            parts += [f"## {plain(section.heading)}", *([plain(section.lead)] if section.lead else []), *_said(section)]
    return "\n\n".join(parts) + "\n"


def _said(section: CardSection) -> list[str]:
    parts = ["\n".join(f"- {plain(text)}" for text in section.sentences)] if section.sentences else []
    parts += [f"```python\n{section.code}\n```"] if section.code else []
    if section.histograms:
        rows = [(item.title, said(item, item.middle), said(item, item.edges[0]), spark(item), said(item, item.edges[-1])) for item in section.histograms]
        parts.append(grid(("quantity", "median", "from", "clips", "to"), rows))
    for table in section.tables:
        caption = f"**{plain(table.caption)}** {plain(table.note)}".rstrip()
        parts.append(f"{caption}\n\n{grid(table.heads, [[as_text(cell) for cell in row] for row in table.rows])}")
    return parts
