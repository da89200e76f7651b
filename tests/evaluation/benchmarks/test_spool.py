"""Samples on disk come back as they were given, grouped by sample, from several threads at once."""

from concurrent.futures import ThreadPoolExecutor

from videoperceiver.evaluation.benchmarks.spool import Spool
from videoperceiver.types import Question


def asked(name: str) -> Question:
    return Question(name, f"Wo ist {name}? \ud83d é\n", "A", "choice", "f", ("A. ja", "B. nein"), static=name == "2")


def spool(*pairs: tuple[str, str], source: str = "b"):
    made = Spool(source, "test")
    for sample, question in pairs:
        made.add(sample, f"{sample}.mp4", {"subset": sample}, asked(question))
    return made.samples()


def test_questions_gather_by_sample_in_the_order_of_appearance():
    samples = spool(("v", "1"), ("w", "1"), ("v", "2"))
    assert [(sample.id, sample.video, sample.tags, sample.questions) for sample in samples] == [
        ("v", "v.mp4", {"subset": "v"}, (asked("1"), asked("2"))),
        ("w", "w.mp4", {"subset": "w"}, (asked("1"),)),
    ]
    assert (samples[0].source, samples[0].split, samples[0].t_s) == ("b", "test", ())
    assert len(spool()) == 0


def test_parts_are_taken_and_joined_without_reading():
    first, second = spool(("a", "1"), ("b", "1"), ("c", "1")), spool(("d", "1"), source="c")
    joined = first[1:] + second
    assert [sample.id for sample in joined] == ["b", "c", "d"]
    assert [sample.id for sample in joined.take([2, 0])] == ["d", "b"]
    assert joined[-1].source == "c"
    assert len(joined.take([])) == 0


def test_threads_may_read_at_once():
    samples = spool(*((f"v{i}", "1") for i in range(200)))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: samples[i].id, range(200))) == [f"v{i}" for i in range(200)]
