import json
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from videoperceiver.data import manifest
from videoperceiver.rewards.base import DEFAULT_WEIGHTS, BaseReward
from videoperceiver.training.verl_adapter import compute_score, compute_scores, export
from videoperceiver.types import Question
from videoperceiver.video.read import read_clip

INFO = {"index": 0, "sample": "a", "question": "a/q", "asked": json.dumps({"kind": "word", "options": ["red", "blue"], "family": "flash", "static": False})}
ON_V, ON_DEGRADED = {**INFO, "branch": "full"}, {**INFO, "branch": "degraded"}


def score(text, info, **kwargs):
    """As verl's naive reward manager calls it; it also writes into extra_info."""
    extra = {**info, "num_turns": None, "rollout_reward_scores": {}}
    return compute_score(data_source="videoperceiver", solution_str=text, ground_truth="red", extra_info=extra, **kwargs)


def test_on_v_it_is_the_base_reward_and_quality():
    base = BaseReward(DEFAULT_WEIGHTS)("red", Question("q", "", "red", "word", "flash", ("red", "blue")))
    assert score("red", ON_V) == {"score": base + 1, "q": 1.0, "base": base, "unscored": 0.0}
    assert score("blue", ON_V)["score"] == score("blue", ON_V)["base"]
    assert score("", ON_V)["unscored"] == 1.0


def test_on_degraded_all_score_the_same_unless_right_answers_are_pushed_down():
    assert [score(text, ON_DEGRADED)["score"] for text in ("red", "blue", "hm")] == [0, 0, 0]
    assert [score(text, ON_DEGRADED, vneg=0.5)["score"] for text in ("red", "blue", "hm")] == [-0.5, 0, 0]


def test_a_batch_pairs_v_with_degraded():
    """Eq. (8) by hand: Q on V 1, 0, 1; on V' 1, 0, 0; the other question has no V' in the batch."""
    alone = {**ON_V, "question": "b/q"}
    infos = [ON_V, ON_DEGRADED, ON_V, ON_DEGRADED, ON_V, ON_DEGRADED, alone]
    texts = ["red", "red", "blue", "blue", "red", "blue", "red"]
    got = compute_scores(data_sources=["x"] * 7, solution_strs=texts, ground_truths=["red"] * 7, extra_infos=infos, alpha=2.0)
    comparative = [row["score"] - (row["base"] if info["branch"] == "full" else 0) for row, info in zip(got, infos, strict=True)]
    assert comparative == pytest.approx([0, 0, 0, 0, 2, 0, 2])


def test_rows_of_another_make_are_refused():
    with pytest.raises(ValueError, match=r"extra_info lacks asked, branch, question: got .*export"):
        compute_score("x", "red", "red", {"index": 1})


def test_export_shows_v_and_degraded_by_the_same_files(rendered, tmp_path):
    rows = pq.read_table(export(rendered, tmp_path / "verl")).to_pylist()
    samples = {sample.id: sample for sample in manifest.read(rendered)}
    kinds = {(row["extra_info"]["sample"], row["extra_info"]["branch"]) for row in rows}
    lacking = [s.id for s in samples.values() if s.degradation is None]
    assert {name for name, branch in kinds if branch == "degraded"} == set(samples) - set(lacking)
    assert [row["extra_info"]["index"] for row in rows] == list(range(len(rows)))
    assert not [row for row in rows if row["extra_info"]["branch"] == "degraded" and json.loads(row["extra_info"]["asked"])["static"]]
    row = next(row for row in rows if row["extra_info"]["branch"] == "degraded")
    sample = samples[row["extra_info"]["sample"]]
    clip = read_clip(manifest.resolve(rendered, sample), t_s=sample.t_s)
    (video,) = row["videos"]
    shown = np.stack([np.asarray(Image.open(unquote(urlparse(uri).path))) for uri in video["video"]])
    assert (shown == clip.frames[list(sample.degradation.source_idx)]).all()
    assert video["sample_fps"] == pytest.approx((len(clip) - 1) / (clip.t_s[-1] - clip.t_s[0]))
    assert row["prompt"][0]["content"].startswith("<video>")
    assert score("red", row["extra_info"])["score"] == 0
