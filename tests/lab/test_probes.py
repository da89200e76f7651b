"""Probes: figures by hand, and all of them from a tiny model on rendered clips."""

import math

import numpy as np
import pytest

from videoperceiver.data import manifest
from videoperceiver.lab import probes
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.dataset import render_dataset
from videoperceiver.lab.finding_probes import FIGURES, probes_section
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.lab.worlds import build_sets


def test_auc_by_hand():
    assert probes.auc(np.array([0.9, 0.8, 0.1]), np.array([True, False, False])) == 1.0
    assert probes.auc(np.array([0.1, 0.5, 0.5, 0.9]), np.array([True, True, False, False])) == pytest.approx((0 + 0 + 0.5 + 0) / 4)
    assert math.isnan(probes.auc(np.array([1.0]), np.array([True])))


def test_attention_lift_by_hand():
    mass = [np.array([0.2, 0.1, 0.1, 0.0]), np.array([0.1, 0.1, 0.1, 0.1])]
    wanted = [np.array([True, False, False, False]), np.array([False, True, False, False])]
    assert probes.attention_lift(mass, wanted) == pytest.approx((0.5 / 0.25 + 1.0) / 2)


def test_presence_is_found_where_it_is_linear_and_not_in_noise():
    rng = np.random.default_rng(0)
    has_event = [rng.random(8) < 0.4 for _ in range(60)]
    noise = [rng.normal(size=(8, 5)) for _ in range(60)]
    shown = [x + 3 * y[:, None] * np.array([1, 0, 0, 0, 0]) for x, y in zip(noise, has_event, strict=True)]
    assert probes.presence_auc(shown, has_event, 30) > 0.95
    assert 0.35 < probes.presence_auc(noise, has_event, 30) < 0.65


def test_every_figure_comes_from_a_model_and_reaches_the_page(tmp_path):
    samples = render_dataset(tmp_path / "rendered" / "independent", num_clips=6, seed=0, split="test", difficulty="bright")
    manifest.write(samples, tmp_path / "rendered" / "independent" / "samples.parquet")
    built = build_sets(tmp_path, {"independent": {}}, 1)["independent"]
    build_tiny(tmp_path / "model", VOCABULARY, seed=0)
    found = probes.probe(tmp_path / "model", built.folder / "manifest.parquet", 2, 6)
    assert FIGURES.keys() <= found.keys()
    assert all(0 <= found[f"presence_b{block}"] <= 1 for block in range(5))
    assert all(found[f"attention_b{block}"] > 0 for block in range(1, 5))
    note, table, *pictures = probes_section([{"arm": "backbone", "seed": 0, **found}]).blocks
    assert "linear probe" in note
    assert table.rows[0][:2] == ("backbone", "1")
    assert all(picture.svg.startswith("<svg") for picture in pictures)


def test_patches_of_an_event_hold_its_frames(tmp_path):
    sample = render_dataset(tmp_path / "x", num_clips=1, seed=3, split="test", difficulty="faint")[0]
    pop = next(span for span in sample.spans if span.label.endswith("pop"))
    frame = next(i for i, t in enumerate(sample.t_s) if pop.start_s <= t <= pop.end_s)
    assert probes._patches(sample, "pop").nonzero()[0].tolist() == [frame // 2]
    assert probes._patches(sample, "").sum() >= 1
