"""The templated annotator over labels of real clips, judged by their annotation alone (skipped where those clips are not there)."""

import json
from pathlib import Path

import pytest

from videoperceiver import answers
from videoperceiver.data.annotate import labels_of, load_annotator
from videoperceiver.data.sources.base import own_seed
from videoperceiver.data.validate import validate
from videoperceiver.stages import AnnotateConfig, ValidateConfig
from videoperceiver.types import Sample, Span


@pytest.fixture(scope="module")
def rows(shared_dir):
    return json.loads((shared_dir / "clips" / "manifest.json").read_text())


@pytest.fixture(scope="module")
def annotated(rows):
    samples = []
    for i, row in enumerate(rows):
        spans = tuple(Span(event["start"], event["end"], event["label"]) for event in row["events"])
        samples.append(Sample(row["file"], row["file"], "", "train", "clips", (), row["description"], spans=spans, seed=own_seed(0, i)))
    made = load_annotator(AnnotateConfig(method="templated", questions=30), Path("unused"), labels_of(samples))
    return list(made.annotate((sample, None) for sample in samples))


def said(question):
    """The answer in words: an option's wording for a letter."""
    if question.kind != "choice":
        return question.answer
    return question.options["ABCDEFGH".index(question.answer)][3:]


def test_every_annotated_clip_is_asked_about(annotated):
    assert sum(bool(sample.spans) for sample in annotated) >= 30
    for sample in annotated:
        assert bool(sample.questions) == bool(sample.spans)


def test_times_counts_and_presence_are_those_of_the_annotation(annotated):
    asked = 0
    for sample in annotated:
        labels = [span.label.casefold() for span in sample.spans]
        for question in sample.questions:
            quoted = question.text.split('"')[1::2]
            if question.family == "when":
                time = float(answers.extract(said(question), "time"))
                starts = [span.start_s for span in sample.spans if span.label == quoted[0]]
                assert min(abs(time - start) for start in starts) <= 0.051
            elif question.family == "count":
                assert int(said(question)) == labels.count(quoted[0].casefold())
            elif question.family == "happens":
                assert (question.answer == "yes") == (quoted[0].casefold() in labels)
            elif question.family in ("which", "changed"):
                assert said(question).casefold() in labels
            asked += 1
    assert asked > 200


def test_what_comes_before_does(annotated):
    checked = 0
    for sample in annotated:
        starts = {span.label: span.start_s for span in sample.spans if [other.label for other in sample.spans].count(span.label) == 1}
        for question in sample.questions:
            quoted = question.text.split('"')[1::2]
            if question.family != "order" or question.kind not in ("yes_no", "word") or not set(quoted) <= starts.keys():
                continue
            first, second = (starts[label] for label in quoted[:2])
            if question.kind == "word":
                assert starts[question.answer] == min(first, second)
            else:
                before = " before " in question.text or " earlier " in question.text
                assert question.answer == ("yes" if (first < second) == before else "no")
            checked += 1
    assert checked > 20


def test_the_validator_takes_nearly_all(annotated, rows):
    asked = dropped = 0
    for sample, row in zip(annotated, rows, strict=True):
        _, refused = validate(sample, row["duration"], ValidateConfig())
        asked += len(sample.questions)
        dropped += sum(item.part == "question" for item in refused)
    assert dropped <= 0.02 * asked
