"""What the page says beside the video: answers in the making and finished, moments, descriptions, errors. Whatever people or models wrote is only text."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from videoperceiver.inference.perceiver import Answer, Description, Found, Said
from videoperceiver.inference.present import clock, evidence_words, found_lines
from videoperceiver.pages.filmstrip import data_uri
from videoperceiver.pages.words import clean

_PICTURE_PX = 224
_RESTS = {
    True: ("yes", "It rests on the key frames"),
    False: ("no", "It does not rest on the key frames alone"),
    None: ("unknown", "What it rests on is not known"),
}


def header(model: str, relevance: str, fps: float, max_frames: int) -> Markup:
    """Name, purpose, and what is loaded."""
    looks = f"at up to {max_frames} frames, {fps:g} a second"
    facts = (("Model", model or "none: finds only"), ("Looks", looks), ("Relevance", relevance))
    rows = Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, clean(value)) for name, value in facts)
    return Markup(
        '<header class="head"><div><h1>VideoPerceiver</h1><p>Brief events in video: ask, see what the answer rests on, find the moment.</p></div>'
        "<dl>{}</dl></header>"
    ).format(rows)


def empty(*, has_model: bool) -> Markup:
    """Before the first question."""
    first = (
        ("Ask", "answers, and says which frames the answer rests on")
        if has_model
        else ("Ask and Describe", "need a model: start the page with --model RUN/model")
    )
    rows = [first, ("Find", "ranks the moments of a video that fit an event, however long it is")]
    rows += [("Describe", "tells what happens, stretch by stretch")] if has_model else []
    body = Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*row) for row in rows)
    return _card("empty", "Upload a clip, then write a question or an event", Markup("<dl>{}</dl>").format(body))


def looking(said: Said | None = None) -> Markup:
    """While a video is read and an answer is made."""
    if said is not None and said.texts:
        return _card("working", "Answer", _said(said.texts[0]))
    note = f"Looked over up to {clock(said.seen_s)} .." if said is not None else "Looking .."
    return _card("working", note, Markup(""))


def answered(answer: Answer, trouble: str = "") -> Markup:
    """An answer, what it rests on, what was looked at."""
    cut = Markup('<p class="note">Cut at the longest length.</p>') if not answer.finished else ""
    rests = Markup("")
    if answer.evidence is not None:
        kind, title = _RESTS[answer.evidence.changed]
        words = clean(" ".join(evidence_words(answer)))
        rests = Markup('<div class="rests {}"><h3>{}</h3><p>{}</p></div>').format(kind, title, words)
    note = Markup('<p class="note">{}.</p>').format(_sentence(str(answer.looked)))
    told = Markup('<p class="note">{}</p>').format(clean(trouble)) if trouble else ""
    return _card("answer", "Answer", Markup("{}{}{}{}{}").format(_said(answer.text), cut, rests, note, told))


def on_twin(title: str, text: str) -> Markup:
    """The answer on V, or on V'."""
    return Markup('<div class="twin"><h3>{}</h3>{}</div>').format(title, _said(text))


def ranked(found: Found, event: str) -> Markup:
    """Moments, best first, each a button that jumps there."""
    *lines, note = found_lines(found, event)
    if not lines:
        return _card("answer", "Nothing stands out", Markup("<p>{}</p>").format(note))
    number = f"{len(found.moments)} moments, best first" if len(found.moments) > 1 else "One moment"
    title = number if found.complete else f"So far, up to {clock(found.seen_s)}"
    rows = Markup("").join(_moment(i, m.start_s, m.end_s, m.peak_s, m.score, data_uri(m.thumbnail, _PICTURE_PX)) for i, m in enumerate(found.moments, 1))
    body = Markup('<ol class="moments">{}</ol><p class="note">{}.</p>').format(rows, _sentence(note.strip("()")))
    return _card("answer" if found.complete else "working", title, body)


def described(parts: Sequence[Description]) -> Markup:
    """Stretches with their times, each a button that jumps there."""
    rows = Markup("").join(
        Markup('<li><button type="button" data-t="{:.3f}">{}</button><p>{}</p></li>').format(part.start_s, clock(part.start_s), clean(part.text))
        for part in parts
    )
    return _card("answer" if parts and parts[-1].complete else "working", "What happens", Markup('<ol class="stretches">{}</ol>').format(rows))


def failed(message: str) -> Markup:
    """What was wrong, in the words of the error."""
    return _card("error", "That did not work", Markup("<p>{}</p>").format(clean(message)))


def reviewed(first: str, verdict: str, reason: str, caption: str, tags: Mapping[str, str]) -> Markup:
    """One sample's row: where it stands, its verdict, caption and tags."""
    kind = verdict or "open"
    said = f"{verdict or 'not reviewed'}{': ' if reason else ''}{reason}"
    shown = Markup("").join(Markup("<span><b>{}</b> {}</span>").format(clean(key), clean(value)) for key, value in tags.items())
    return Markup('<section class="card sample {}" role="status"><h2>{}</h2><p class="verdict">{}</p><p>{}</p><p class="tags">{}</p></section>').format(
        kind, clean(first), clean(said), clean(caption or "no caption"), shown
    )


def dropped(rows: Sequence[Mapping[str, str]], more: int, *, num_own: int) -> Markup:
    """What the rules left out of a data set, with the reason of each; the first `num_own` rows are those of the sample that is shown."""
    if not rows:
        return Markup("")
    fields = ("sample_id", "part", "text", "rule", "reason")
    body = Markup("").join(
        Markup("<tr{}>{}</tr>").format(
            Markup(' class="own"') if i < num_own else "", Markup("").join(Markup("<td>{}</td>").format(clean(row[field])) for field in fields)
        )
        for i, row in enumerate(rows)
    )
    tail = Markup('<p class="note">And {} more in dropped.jsonl.</p>').format(more) if more else ""
    return Markup(
        '<section class="card dropped"><h2>Left out of this data set, and why</h2><div class="wide"><table><thead><tr><th>Sample</th><th>Part</th>'
        "<th>Text</th><th>Rule</th><th>Reason</th></tr></thead><tbody>{}</tbody></table></div>{}</section>"
    ).format(body, tail)


def note(text: str) -> Markup:
    """Where there is nothing yet."""
    return Markup('<p class="nothing">{}</p>').format(text)


def _moment(rank: int, start_s: float, end_s: float, peak_s: float, score: float, picture: str) -> Markup:
    return Markup(
        '<li><button type="button" data-t="{:.3f}" aria-label="jump to {}"><img alt="" src="{}"><span><b>{}. {} to {}</b>'
        '<meter min="0" max="1" value="{:.3f}"></meter><i>{:.2f}</i></span></button></li>'
    ).format(peak_s, clock(peak_s), picture, rank, clock(start_s), clock(end_s), score, score)


def _said(text: str) -> Markup:
    return Markup('<p class="said">{}</p>').format(clean(text))


def _sentence(text: str) -> str:
    return clean(text[:1].upper() + text[1:])


def _card(kind: str, title: str, body: Markup) -> Markup:
    return Markup('<section class="card {}" role="status"><h2>{}</h2>{}</section>').format(kind, title, body)
