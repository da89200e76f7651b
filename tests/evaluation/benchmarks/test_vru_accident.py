import json
import os
import re
from pathlib import Path

import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.answers import extract
from videoperceiver.evaluation.benchmarks import vru_accident
from videoperceiver.evaluation.captions import NotComputedError, meteor, rouge

SUBSETS = ("CAP_DATA", "DADA_2000", "DoTA", "MANUAL_DATA")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A. sunny day, B. cloudy night, C. stormy day, D. rainy evening", ("A. sunny day", "B. cloudy night", "C. stormy day", "D. rainy evening")),
        ("A. Slow down., B. Stop, C. Wait. D.Drivers yield", ("A. Slow down.", "B. Stop", "C. Wait.", "D. Drivers yield")),
        ("A. a car, a bus, B. U.S. road, C. c, D. d", ("A. a car, a bus", "B. U.S. road", "C. c", "D. d")),
        ("A. one, B. two", ()),
        ("A. one, B. , C. three, D. four", ()),
    ],
)
def test_options_of_one_line(text, expected):
    assert vru_accident.split_options(text) == expected


def test_reads_questions_and_captions_by_name(tmp_path):
    vqa = {"./VRU_videos/DoTA/VRU_2.mp4": {"location": {"question": "Where? Choose.", "options": "A. a, B. b, C. c, D. d", "GT": "D"}}}
    captions = {"./VRU_videos/DoTA/VRU_9": {"gt": "Nine."}, "./VRU_videos/DoTA/VRU_2": {"gt": "Two."}}
    (tmp_path / "DoTA_VQA_annotation.json").write_text(json.dumps(vqa))
    (tmp_path / "DoTA_Dense_Caption.json").write_text(json.dumps(captions))
    second, ninth = vru_accident.load(tmp_path).samples
    assert (second.id, second.video, second.tags) == ("VRU_videos/DoTA/VRU_2", "VRU_videos/DoTA/VRU_2.mp4", {"subset": "DoTA"})
    where, caption = second.questions
    assert (where.text, where.answer, where.family) == ("Where? Choose. A. a, B. b, C. c, D. d", "D", "Traffic Environment")
    assert (caption.kind, caption.answer) == ("open", "Two.")
    assert ninth.questions[0].answer == "Nine."


def test_table_is_the_mean_of_six():
    rows = [row(1, family=family) for family in list(vru_accident.FAMILIES.values())[:3]] + [row(0, family=family) for family in vru_accident.FAMILIES.values()]
    table = vru_accident.BENCHMARK.table([*rows, row(None, family="Dense Caption", kind="open")])
    assert next(iter(table)) == "Weather & Light"
    assert table["Avg"] == 25.0


def test_the_official_parser_reads_an_article_as_a():
    assert vru_accident.official("assistant\nA man was hit.") == "A"
    assert extract("A man was hit.", "choice", ("x", "y", "z", "w")) is None
    assert vru_accident.official("A\nB. urban") == "B"
    assert vru_accident.official("nothing") is None


def test_committed_responses_without_an_answer_are_unparsed_and_wrong(tmp_path):
    video = {"location": {"pred": None, "GT": "A"}, "road type": {"pred": " b", "GT": "B"}}
    (tmp_path / "DoTA_VQA_response.json").write_text(json.dumps({"./VRU_videos/DoTA/VRU_1.mp4": video}))
    rows = list(vru_accident.read_responses(tmp_path))
    assert [(row["extracted"], row["score"]) for row in rows] == [(None, None), ("B", 1.0)]
    table = vru_accident.BENCHMARK.table(rows)
    assert (table["Traffic Environment"], table["Road Configuration"]) == (0.0, 100.0)


def test_sample_rows(shared_dir):
    folder = shared_dir / "samples" / "vru_accident"
    got = vru_accident.load(folder / "MetaData")
    assert len(got.samples) == 12
    assert not got.rejects
    assert all(len(sample.questions) == 7 for sample in got.samples)
    rows = list(vru_accident.read_responses(folder / "Model_Response" / "VQA" / "Qwen25_VL"))
    references = {(sample.id, question.id): question.answer for sample in got.samples for question in sample.questions}
    assert len(rows) == 72
    assert all(references[row["sample"], row["question"]] == row["reference"] for row in rows)


def official_folder() -> Path:
    """A clone of the official repository, named by the environment: its scores are over 1,000 videos, of which ../shared holds twelve."""
    folder = os.environ.get("VRU_ACCIDENT_REPO")
    if not folder:
        pytest.skip("set VRU_ACCIDENT_REPO to a clone of https://github.com/Kimyounggun99/VRU-Accident")
    return Path(folder)


MODELS = [
    "GPT_4o_mini_Video",
    "Gemini_15_flash_Video",
    "InternVL25_1B",
    "InternVL25_2B",
    "InternVL25_4B",
    "InternVL25_8B",
    "InternVL2_8B",
    "InternVL3_2B",
    "InternVL3_8B",
    "LLaVA_NeXT_Video",
    "LLaVA_OneVision_Video",
    "LLaVA_Video_Video",
    "Mobile_VideoGPT_15_Video",
    "Qwen25_VL",
    "Qwen2_VL_7B",
    "Video_XL2_Video",
    "Video_XL_Pro_Video",
]


@pytest.mark.parametrize("model", MODELS)
def test_official_accuracies_to_the_last_digit(model):
    folder = official_folder()
    printed = dict(re.findall(r"- (.+?): \d+/\d+ \(([\d.]+)%\)", (folder / "results" / "VQA" / f"{model}_VQA_Acc.json").read_text()))
    responses = folder / "Model_Response" / "VQA"
    rows = vru_accident.read_responses(next(path for path in (responses / model, responses / model.removesuffix("_Video")) if path.exists()))
    table = vru_accident.BENCHMARK.table(list(rows))
    assert {category: f"{table[heading]:.2f}" for category, heading in vru_accident.FAMILIES.items()} == printed


def test_official_annotations_are_complete():
    got = vru_accident.load(official_folder() / "MetaData")
    assert vru_accident.BENCHMARK.miscounts(got) == []
    assert not got.rejects


def official_captions(model: str) -> tuple[list[str], list[str], dict]:
    """References, a model's captions, and the printed scores."""
    folder, references, captions = official_folder(), [], []
    for subset in SUBSETS:
        truth = json.loads((folder / "MetaData" / subset / f"{subset}_Dense_Caption.json").read_text(encoding="utf-8"))
        given = json.loads((folder / "Model_Response" / "Dense_Captioning" / model / f"{subset}_Dense_Captioning_response.json").read_text(encoding="utf-8"))
        for video, caption in given.items():
            references.append(truth[video.removesuffix(".mp4")]["gt"])
            captions.append(caption["pred"])
    return references, captions, json.loads((folder / "results" / "Dense_Captioning" / f"{model}_DenseCaption_Score.json").read_text())


@pytest.mark.parametrize("model", ["Qwen25_VL", "Qwen2_VL_7B"])
def test_official_rouge_to_the_last_digit(model):
    references, captions, printed = official_captions(model)
    pytest.importorskip("rouge_score")
    assert {name.upper(): {part: round(value, 3) for part, value in scores.items()} for name, scores in rouge(references, captions).items()} == printed["ROUGE"]


@pytest.mark.parametrize("model", ["Qwen25_VL", "Qwen2_VL_7B"])
def test_official_meteor_to_the_last_digit(model):
    references, captions, printed = official_captions(model)
    pytest.importorskip("nltk")
    try:
        found = meteor(references, captions)
    except NotComputedError as missing:
        pytest.skip(str(missing))
    assert round(found, 3) == printed["METEOR"]
