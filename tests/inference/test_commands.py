"""ask, describe and find from the shell: words, JSON, pages, and what is said about bad input."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.inference.present import clock


@pytest.fixture
def flashing(clip_file):
    frames = np.full((60, 32, 32, 3), 80, np.uint8)
    frames[30:32] = 240
    return clip_file(frames, 4, name="<b>x.mp4")


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_find_says_where(flashing, tmp_path):
    found = run("find", flashing, "flash <script>", "--relevance", "motion", "--html", tmp_path / "out" / "page.html")
    assert found.exit_code == 0, found.output
    assert "1. 0:07." in found.stdout
    assert "so far the best is" in found.stderr
    page = (tmp_path / "out" / "page.html").read_text()
    assert "<script>" not in page
    assert "<b>x" not in page
    assert page.count("<figure") == found.stdout.count("(peak ")


def test_find_as_json_lines(flashing):
    rows = [json.loads(line) for line in run("find", flashing, "flash", "--relevance", "motion", "--json").stdout.splitlines()]
    assert [row["complete"] for row in rows][-1] is True
    assert rows[-1]["moments"][0]["peak_s"] == pytest.approx(7.5, abs=0.6)
    assert rows[-1]["moments"][0]["probability"] is None


def test_ask_and_explain(flashing, tiny_model, tmp_path):
    options = ["--model", tiny_model, "--relevance", "motion", "--max-frames", "16"]
    said = run("ask", flashing, "what colour is the flash ?", "when is the pop ?", *options, "--html", tmp_path / "a.html")
    assert said.exit_code == 0, said.output
    assert "looked at" in said.stdout
    assert said.stdout.count("Without the") == 2
    assert (tmp_path / "a.html").read_text().count("on V′") == 2
    rows = [json.loads(line) for line in run("ask", flashing, "what colour is the flash ?", *options, "--explain", "--json").stdout.splitlines()]
    assert rows[0]["evidence"]["keyframes_s"]
    assert rows[0]["looked"]["num_frames"] <= 16
    assert rows[0]["evidence"]["changed"] == (rows[0]["answer"].casefold() != rows[0]["evidence"]["answer_without"].casefold())


def test_describe_as_json_lines(flashing, tiny_model):
    said = run("describe", flashing, "--model", tiny_model, "--max-frames", "16", "--prompt", "describe the video .", "--json")
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [row["num_frames"] for row in rows] == [16, 16, 16, 12]
    assert rows[0]["start_s"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["find", "nope.mp4", "x"], "nope.mp4"),
        (["find", "VIDEO", " "], "empty event"),
        (["find", "VIDEO", "x", "--relevance", "magic"], "unknown"),
        (["ask", "VIDEO", "what ?", "--model", "./no/such/folder"], "no checkpoint"),
        (["ask", "VIDEO", "what ?", "--model", "./no/such/folder", "--max-frames", "7"], "even"),
        (["describe", "FOLDER", "--model", "x"], "FOLDER"),
    ],
)
def test_bad_input_is_one_message(arguments, words, flashing, tmp_path):
    given = [str(flashing) if a == "VIDEO" else str(tmp_path) if a == "FOLDER" else a for a in arguments]
    said = run(*given)
    assert said.exit_code == 2
    assert (words.replace("FOLDER", str(tmp_path))) in said.stderr
    assert "Traceback" not in said.output


def test_clock():
    assert [clock(t) for t in (0, 59.96, 61.25, 3723.4)] == ["0:00.0", "1:00.0", "1:01.2", "1:02:03.4"]
