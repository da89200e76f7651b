"""Benchmarks in small: rows in the official layouts with invented content, and rendered videos under the official names."""

import json
from pathlib import Path

import numpy as np

from videoperceiver.evaluation.benchmarks import BENCHMARKS, cut_of
from videoperceiver.video.write import write_mp4

FRAMES, SIDE_PX = 12, 32
CHOICE = "What moves?\nA. the car\nB. the man\nC. nothing\nD. the dog"
FOUR = ["A. red", "B. blue", "C. green", "D. grey"]


def _motion(key, uid, answer, kind="Action Order"):
    qa = {"uid": uid, "start": None, "end": None, "answer": answer, "question": CHOICE}
    return {"question_type": kind, "video_type": None, "key": key, "qa": [qa], "video_path": f"{key}.mp4", "video_info": {}}


def _vru(answer):
    asked = {"question": "Where? Choose the correct option (A, B, C, or D) without any explanations.", "options": "A. a, B. b, C. c, D. d", "GT": answer}
    return dict.fromkeys(("weather and light", "location", "road type", "accident type", "accident reason", "prevention method"), asked)


def _vsi(id, family, truth, options=None):
    return {"id": id, "dataset": "scannet", "scene_name": "s1", "question_type": family, "question": "How many?", "ground_truth": truth, "options": options}


def _tomato(key, answer):
    return {"question": "Which way?", "options": ["left", "right", "up"], "answer": answer, "key": key, "motion_type": "count", "demonstration_type": "human"}


def _haystack(answer):
    facts = {"frame_rate": 4.0, "vclip_interval_in_video": [1.0, 3.0]}
    options = {"A": "red", "B": "blue", "C": None}
    row = {"video_id": "v", "vclip_id": "c", "question": "Which colour?", "options": options, "answer": answer, "video_metadata": facts}
    return row | {"frame_indexes_video": [8], "frame_indexes_vclip": [4]}


def _blind(index):
    """One instance of yes or no, one of two options, as the official rows spell them."""
    place, name = index % 4, f"{'vid' if index < 4 else 'mcq_vid'}_00000_{index % 2}.mp4"
    asked = ("Is it shaken?", "Is it still?")[place // 2]
    options = ("Option A: It is shaken. Option B: It is still.", "Option A: It is still. Option B: It is shaken.")[place // 2]
    return {
        "index": index,
        "video_path": f"TimeBlind/videos/{name}",
        "question": asked if index < 4 else f"What is done? {options}",
        "answer": (("Yes", "No", "No", "Yes") if index < 4 else ("A", "B", "B", "A"))[place],
        "type": "yes_no" if index < 4 else "multiple_choice",
    }


FILES: dict[str, dict[str, object]] = {
    "motionbench": {"video_info.meta.jsonl": [_motion("m1", "u1", "B"), _motion("m2", "u2", "NA"), _motion("m3", "u3", "A", "Camera Motion")]},
    "vru-accident": {
        "DoTA_VQA_annotation.json": {"./VRU_videos/DoTA/VRU_1.mp4": _vru("A"), "./VRU_videos/DoTA/VRU_2.mp4": _vru("C")},
        "DoTA_Dense_Caption.json": {"./VRU_videos/DoTA/VRU_1": {"gt": "the car hit the man"}, "./VRU_videos/DoTA/VRU_2": {"gt": "the dog moves"}},
    },
    "mvbench": {"action_sequence.json": [{"video": "a.mp4", "question": "Then?", "candidates": ["x", "y"], "answer": "y", "start": 0.5, "end": 2.0}]},
    "video-mme": {
        "test.jsonl": [
            {"videoID": "y", "duration": "short", "domain": "d", "question_id": f"1-{i}", "question": "Which?", "options": FOUR, "answer": "C"}
            for i in range(2)
        ]
    },
    "vsi-bench": {"test.jsonl": [_vsi(1, "object_counting", "4"), _vsi(2, "route_planning", "B", ["A. left", "B. right"])]},
    "video-mmmu": {
        "perception_video.json": {"Perception": {"0": {"id": "dev_Biology_3", "question": "What?", "options": ["x", "y"], "answer": "B"}}},
        "adaptation_video.json": {
            "Adaptation": {"0": {"id": "dev_Biology_3", "question": "How much?", "options": [], "answer": "12.97", "question_type": "open"}}
        },
    },
    "favor-bench": {
        "video_perspective.json": [
            {
                "video_name": "f1.mp4",
                "questions": [{"question": "What?", "options": ["he sits", "he sits down"], "correct_answer": "he sits", "task_type": "AS"}],
            }
        ]
    },
    "tempcompass": {
        "multi-choice.json": {"1": {"action": [{"question": "What?\nA. runs\nB. walks", "answer": "B. walks"}]}},
        "yes_no.json": {"1": {"speed": [{"question": "Is it fast?", "answer": "no"}]}},
        "caption_matching.json": {"1": {"order": [{"question": "Which?\nOption 1: he sits.\nOption 2: he stands.", "answer": "Option 2: he stands."}]}},
        "captioning.json": {"1": {"order": [{"question": "left out", "answer": "x"}]}},
    },
    "tomato": {"count.json": {"0": _tomato("k1", 1), "1": _tomato("k2", 2)}},
    "tvbench": {"action_count.json": [{"video": "v.mp4", "question": "How many?", "candidates": ["2", "3", "5", "4"], "answer": "4"}]},
    "lv-haystack": {"test.jsonl": [_haystack("B")]},
    "charades-sta": {"charades_sta_test.txt": "3MSZA 0.5 1.5##person turns a light on.\nAMT7R 0.0 1.0##person sits.\n3MSZA 0.2 0.9##person sits."},
    "timeblind": {"data.jsonl": [_blind(index) for index in range(8)]},
}


def write_official(name: str, folder: Path) -> Path:
    """The benchmark's files, in its own layout."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in FILES[name].items():
        if file.endswith(".jsonl"):
            text = "".join(json.dumps(row) + "\n" for row in content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
        (folder / file).write_text(text)
    return folder


def render(name: str, annotations: Path, folder: Path) -> Path:
    """A short video of noise for each sample, as long as its cut needs."""
    rng = np.random.default_rng(0)
    for sample in BENCHMARKS[name].load(annotations).samples:
        path, cut = folder / sample.video, cut_of(sample)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            frames = rng.integers(0, 256, (FRAMES, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
            write_mp4(list(frames), path, fps=4.0 if cut is None else FRAMES / (cut.end_s + 1), preset="ultrafast")
    return folder


def words_of(name: str, annotations: Path) -> set[str]:
    """Every word of its questions, for a tiny model's vocabulary."""
    protocol = BENCHMARKS[name].protocol
    return {word for sample in BENCHMARKS[name].load(annotations).samples for q in sample.questions for word in protocol.spelled(q.text).split()}
