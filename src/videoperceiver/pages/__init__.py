"""Pages and figures: pure functions from arrays and records to self-contained HTML.

Whole pages (`str`): `keyframes_page`, `demo_page`, `runs_page` (and `runs_markdown`). Parts (`Markup`), put together by `page`: `clip_figure`, `filmstrip`,
`timeline`, `curves`, `accuracy_chart`, `accuracy_table`, `difference_table`, `timing`, `answers`. Their inputs are in `records`, `figures` and `reports`.
"""

from videoperceiver.pages.accuracy import accuracy_chart, accuracy_table, difference_table
from videoperceiver.pages.answers import answers
from videoperceiver.pages.clip import clip_figure
from videoperceiver.pages.curves import curves
from videoperceiver.pages.demo import demo_page
from videoperceiver.pages.demo_words import demo_steps
from videoperceiver.pages.figures import ClipFigure, CurveGroup, CurvePanel, Rows
from videoperceiver.pages.filmstrip import filmstrip
from videoperceiver.pages.html import page
from videoperceiver.pages.keyframes import keyframes_page, keyframes_words
from videoperceiver.pages.markdown import runs_markdown
from videoperceiver.pages.records import Answer, AnsweredQuestion, Column, Difference, Estimate, Model, Score, ScoreTable
from videoperceiver.pages.reports import DemoReport, Mistake, Phase, RunsReport, RunSummary
from videoperceiver.pages.runs import runs_page
from videoperceiver.pages.scalars import curve_panels
from videoperceiver.pages.timeline import timeline
from videoperceiver.pages.timing import timing

__all__ = [
    "Answer",
    "AnsweredQuestion",
    "ClipFigure",
    "Column",
    "CurveGroup",
    "CurvePanel",
    "DemoReport",
    "Difference",
    "Estimate",
    "Mistake",
    "Model",
    "Phase",
    "Rows",
    "RunSummary",
    "RunsReport",
    "Score",
    "ScoreTable",
    "accuracy_chart",
    "accuracy_table",
    "answers",
    "clip_figure",
    "curve_panels",
    "curves",
    "demo_page",
    "demo_steps",
    "difference_table",
    "filmstrip",
    "keyframes_page",
    "keyframes_words",
    "page",
    "runs_markdown",
    "runs_page",
    "timeline",
    "timing",
]
