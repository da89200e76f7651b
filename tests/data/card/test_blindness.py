"""What is guessed without looking, as the card says it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.data.made import CHOICE, data_folder, with_event

from videoperceiver.data import manifest
from videoperceiver.data.card import card_of
from videoperceiver.data.card.blindness import blind_tables, blind_words, sceneries
from videoperceiver.data.manifest import Manifest
from videoperceiver.data.validate.blind import ALL, Blind, Guessed, Leak
from videoperceiver.data.validate.intervals import Share

ROWS = (
    Guessed(ALL, "majority", Share(0.3, -0.05, 0.65, 40, 20), 0.5, False),
    Guessed("order · yes_no", "scenery", Share(0.9, 0.7, 1.1, 30, 20), 0.5, True),
    Guessed("order · yes_no", "majority", Share(0.8, float("nan"), float("nan"), 10, 1), 0.5, True),
)


def test_leaks_are_said_and_listed():
    blind = Blind(ROWS, (Leak("clip", "q", "order · yes_no", ("scenery", "majority"), 0.5),), 40, 7)
    first, second, rest = blind_words(blind)
    said = "From coarse colours of V′, 90.0 % of 30 answers in order · yes/no are guessed right (interval 70 % to 100 %); by chance 50.0 %."
    assert first.replace("\u00a0", " ") == said
    assert "(interval –)" in second
    assert rest == "7 further questions were not looked at."
    everything, families, questions = blind_tables(blind)
    assert everything.rows == [("the family’s most frequent answer", 40, "30.0\u00a0%", "0\u00a0% to 65\u00a0%", "50.0\u00a0%")]
    assert [row[:2] for row in families.rows] == [("order · yes/no", "coarse colours of V′"), ("order · yes/no", "the family’s most frequent answer")]
    assert questions.rows == [("clip", "q", "order · yes/no", "scenery, majority")]


def test_nothing_seen_to_and_nothing_measured_are_told_apart():
    held, unmeasured = blind_words(Blind(ROWS[:1], (), 40, 0))
    assert held.startswith("No family of questions is guessed better than chance")
    assert unmeasured.startswith("What the scenery of V′ gives away was not measured")
    assert len(blind_tables(Blind(ROWS[:1], (), 40, 0))) == 1


def test_scenery_is_that_of_v_prime_of_clips_drawn_by_their_ids(tmp_path):
    folder = data_folder(tmp_path / "set")
    path = folder / "manifest.parquet"
    found = sceneries(Manifest(path), 4, 4)
    assert set(found) == {"flash", "hostile", "held-out", "images"}
    for name, colours in found.items():
        assert colours.shape == (48,)
        assert colours == pytest.approx(np.full(48, 90), abs=4), name  # grey: the white flash is not in V'
    assert sceneries(Manifest(path), 4, 0) == {}
    rows = [replace(with_event(f"n{i}", 5, questions=(CHOICE,)), video="media/flash.mp4") for i in range(40)]
    manifest.write(rows, folder / "many.parquet")
    manifest.write(rows[::-1], folder / "turned.parquet")
    drawn = sceneries(Manifest(folder / "many.parquet"), 40, 10)
    assert 2 <= len(drawn) <= 20
    assert set(drawn) == set(sceneries(Manifest(folder / "turned.parquet"), 40, 10))
    manifest.write([replace(rows[0], video="media/gone.mp4")], folder / "gone.parquet")
    assert sceneries(Manifest(folder / "gone.parquet"), 1, 1) == {}


def test_the_card_says_it_where_there_are_closed_questions(tmp_path):
    folder = data_folder(tmp_path / "set")
    asked = "What can be answered without looking"
    page = card_of(folder, num_scenery=10).read_text()
    assert asked in page
    assert "the most frequent place among the options" in page
    manifest.write([replace(with_event("flash", 5), questions=())], folder / "manifest.parquet")
    page = card_of(folder).read_text()
    assert not re.search(f"{asked}|How evenly it asks</h2>.*Right answers", page)
