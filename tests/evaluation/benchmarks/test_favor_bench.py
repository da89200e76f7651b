import json

from tests.evaluation.prediction_rows import row

from videoperceiver.answers import extract
from videoperceiver.evaluation.benchmarks import favor_bench


def write(tmp_path, *questions, name="f1"):
    (tmp_path / "video_perspective.json").write_text(json.dumps([{"video_name": name, "questions": list(questions)}]))
    return favor_bench.load(tmp_path)


def asked(answer="he sits", options=("he sits", "he sits down", "he runs")):
    return {"question": "What?", "options": list(options), "correct_answer": answer, "task_type": "AS"}


def test_the_answer_is_its_place_among_the_options_and_mp4_is_added_once(tmp_path):
    for name in ("f1", "f1.mp4"):
        [sample] = write(tmp_path, asked(), asked("he flies"), name=name).samples
        assert (sample.id, sample.video) == ("f1", "f1.mp4")
        [question] = sample.questions
        assert (question.answer, question.options) == ("A", ("A. he sits", "B. he sits down", "C. he runs"))
        assert question.text.endswith("What?\nYou can only response with the answer among ['he sits', 'he sits down', 'he runs']")
    assert "'he flies' is none of its 3 options" in write(tmp_path, asked("he flies")).rejects[0].reason


def test_the_official_rule_takes_any_completion_that_holds_the_option():
    options = ["A. he sits", "B. he sits down", "C. he runs"]
    all_of_them = "he sits, he runs"

    def official(said, reference):
        return favor_bench.official_score(row(None, reference=reference) | {"completion": said, "options": options})

    assert official(all_of_them, "A") == 1.0  # listing options passes
    assert extract(all_of_them, "choice", tuple(options)) is None  # ours does not take it
    assert official("He sits down", "A") == 0.0  # the longer option
    assert official("He sits down.", "B") == 1.0
    assert official(None, "B") == 0.0


def test_micro_average_first():
    table = favor_bench.BENCHMARK.table([row(1, family="AS"), row(0, family="AS"), row(1, family="NSM")])
    assert list(table) == ["ALL", "AS", "HAC", "SAD", "MAD", "CM", "NSM"]
    assert round(table["ALL"], 4) == 66.6667
    assert sum(favor_bench.COUNTS.values()) == 8184


def test_sample_rows(shared_dir):
    got = favor_bench.load(shared_dir / "samples" / "favor_bench" / "video_perspective.QUOTED.json")
    assert (got.counts, got.rejects, got.samples[0].video) == ({"HAC": 1}, [], "B7DNX.mp4")
