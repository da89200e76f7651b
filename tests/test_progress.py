"""The progress line: where a run is and when it will be done, in any terminal."""

import re

import pytest

from videoperceiver.progress import stage_progress

NOTE = "loss 1.234 9.9 clips/s 356 video tokens/s wait 0% vision 14%"


@pytest.mark.parametrize(("columns", "said"), [(200, NOTE), (80, "loss 1.234 9.9 clips/s…"), (40, "")])
def test_the_time_left_is_always_there_and_the_note_as_far_as_it_fits(monkeypatch, capsys, columns, said):
    monkeypatch.setenv("COLUMNS", str(columns))
    with stage_progress("stage 1 · my-run", 2000, 1990) as advance:
        for _ in range(10):
            advance(NOTE)
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("stage 1 · my-run")
    if columns >= 80:
        assert re.search(r"2000/2000 +0:00:00 +left +0:00:00", line), line
        assert line.endswith(said)
    assert len(line) <= columns


def test_who_does_not_speak_shows_nothing(capsys):
    with stage_progress("stage 1", 2, shown=False) as advance:
        advance("loss 1", steps=2)
    assert capsys.readouterr().err.strip() == ""
