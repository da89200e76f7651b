"""cli/: fast help, one boundary for errors, exit codes, and what a person reads."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from videoperceiver import __version__
from videoperceiver.cli import app as application
from videoperceiver.cli.boundary import Boundary, options
from videoperceiver.cli.summary import results, summary
from videoperceiver.errors import MissingExtraError
from videoperceiver.runs import Run
from videoperceiver.video.read import read_clip

COMMANDS = ["data build", "sft", "grpo", "evaluate"]


def call(*arguments):
    return CliRunner().invoke(application, list(arguments), prog_name="videoperceiver")


def test_help_and_version_import_nothing_heavy():
    for arguments in ("['--help']", "['--version']", "['sft', '--help']", "['data', '--help']"):
        code = (
            f"import sys; sys.argv = ['videoperceiver', *{arguments}]\n"
            "from videoperceiver.cli import main\n"
            "try: main()\n"
            "except SystemExit as end: assert not end.code\n"
            "heavy = {'torch', 'transformers', 'av', 'scipy', 'numpy', 'pyarrow'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_is_fast():
    """In processor seconds, which a busy machine does not stretch as it does the clock; 0.25 on an idle core."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([Path(sys.executable).with_name("videoperceiver"), "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.6


def test_version():
    assert call("--version").stdout == f"videoperceiver {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_stage_has_help(command):
    result = call(*command.split(), "--help")
    assert result.exit_code == 0
    assert "KEY=VALUE" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_recipe_exits_2_with_its_name(command):
    result = call(*command.split(), "nowhere.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: recipe nowhere.yaml: no such file")
    assert "Traceback" not in result.stderr


def test_a_typo_is_answered_with_the_nearest_name(tmp_path):
    (tmp_path / "sft.yaml").write_text("batch_sise: 2\n")
    result = call("sft", str(tmp_path / "sft.yaml"))
    assert result.exit_code == 2
    assert result.stderr.endswith("no field 'batch_sise' in SftConfig; did you mean 'batch_size'?\n")


def test_an_unknown_command_exits_2():
    result = call("stf")
    assert result.exit_code == 2
    assert "Did you mean 'sft'?" in result.stderr


@dataclass(frozen=True)
class Config:
    output: str = "out"


def boundary_around(error):
    """The real boundary and options around a command that raises."""
    app = typer.Typer(cls=Boundary, pretty_exceptions_enable=False)
    app.callback()(options)

    @app.command()
    def stage():
        raise error

    @app.command()
    def other():
        pass

    return CliRunner().invoke(app, ["stage"])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MissingExtraError("spacy", "text", "keyword extraction"), 2, "Run: pip install 'videoperceiver[text]'"),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), 2, "runs/a: the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "runs/a"), 2, "runs/a: this folder cannot be written"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), 2, "runs/a: this folder cannot be written"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.mp4"), 2, "a.mp4: No such file or directory\n"),
    ],
)
def test_the_boundary_says_it_in_words(error, code, words):
    result = boundary_around(error)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_our_own_bugs_keep_their_traceback():
    result = boundary_around(ZeroDivisionError("a bug"))
    assert isinstance(result.exception, ZeroDivisionError)


def test_the_summary_shows_the_last_scalars_and_the_folder(tmp_path, capsys):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="sft")
    run.log(9, loss=0.25, accuracy=float("nan"))
    run.finish()
    summary(run)
    lines = [line.split(maxsplit=1) for line in map(str.strip, capsys.readouterr().out.splitlines())]
    assert ["status", "finished"] in lines
    assert ["sft/loss", "0.25"] in lines
    assert ["sft/accuracy", "not a number"] in lines
    assert lines[-1] == ["run", f"folder {run.folder}"]


def test_the_summary_shows_results_with_their_intervals(tmp_path, capsys):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="evaluate")
    cell = {"value": 0.5, "low": 0.25, "high": 0.75, "num": 8}
    run.write_json("result.json", {"accuracy": {"full": {"all": cell}, "degraded": {"all": {**cell, "value": None}}}, "num_rows": 16})
    assert list(results(run)) == [
        ("accuracy: full", "50.0 % (25.0 to 75.0, 8 answers)"),
        ("accuracy: degraded", "not measured"),
        ("num rows", "16"),
    ]
    run.write_json(
        "result.json",
        {"accuracy": [{"model": "stage 1", "slice": "agree", "condition": "V", **cell}], "differences": [{"label": "a - b", **cell, "low": None}]},
    )
    assert list(results(run)) == [
        ("a - b", "50.0 points (no interval, 8 answers)"),
    ]
    summary(run)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stage", "1", "50.0"] in lines


def test_data_check_lists_good_and_bad_clips_and_exits_1(tmp_path, clip_file):
    clip_file(np.zeros((8, 32, 48, 3), np.uint8), 8, name="clips/good.mp4")
    (tmp_path / "clips" / "bad.mp4").write_text("no video")
    (tmp_path / "clips" / "notes.txt").touch()
    result = call("data", "check", str(tmp_path / "clips"), "--num-workers", "1")
    assert result.exit_code == 1
    good, bad, closing = result.stdout.splitlines()
    assert good == f"ok   {tmp_path}/clips/good.mp4: 4 frames, 0.00 to 0.75 s"
    assert bad.startswith(f"BAD  {tmp_path}/clips/bad.mp4: ")
    assert closing == "1 of 2 clips can be used, 4 frames; files that are no videos, left aside: 1"


@pytest.fixture
def flash(clip_file):
    """24 frames at 8 fps, white from 1.5 s to 1.75 s."""
    frames = np.full((24, 32, 48, 3), 40, np.uint8)
    frames[12:14] = 255
    return clip_file(frames, 8, name="flash.mp4")


def test_keyframes_finds_a_flash_in_words_json_and_html(flash, tmp_path):
    result = call("keyframes", str(flash), "--relevance", "motion", "--html", str(tmp_path / "new" / "page.html"))
    assert result.exit_code == 0, result.stderr
    assert "24 frames between 0" in result.stdout
    assert result.stdout.splitlines()[-1] == f"page {tmp_path}/new/page.html"
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "flash.mp4" in page
    assert str(tmp_path) not in page
    result = call("keyframes", str(flash), "--relevance", "motion", "--json")
    found = json.loads(result.stdout)
    assert all(1.25 <= frame["t_s"] <= 2.0 for frame in found["keyframes"])
    assert found["keyframes"]
    assert len(found["scores"]) == len(found["t_s"]) == 24
    assert {1.5, 1.625} <= {found["t_s"][i] for i, j in enumerate(found["degradation"]["source_idx"]) if i != j}


def test_annotated_events_take_the_place_of_detection(flash, tmp_path):
    page = tmp_path / "page.html"
    result = call("keyframes", str(flash), "--relevance", "motion", "--event", "0.5-0.75:a blink", "--event", "2-2", "--json", "--html", str(page))
    found = json.loads(result.stdout)
    assert [frame["t_s"] for frame in found["keyframes"]] == [0.5, 0.625, 0.75, 2.0]
    assert "a blink" in page.read_text(encoding="utf-8")


def test_a_folder_of_images_and_an_operator_of_ones_own(flash, tmp_path):
    (tmp_path / "frames").mkdir()
    for number, pixels in enumerate(read_clip(flash).frames, start=1):
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{number:06d}.png")
    (tmp_path / "own.py").write_text("import numpy as np\n\ndef first(num_frames, runs, keyframes_idx, rng):\n    return np.zeros(num_frames, int)\n")
    out = tmp_path / "v.mp4"
    result = call("degrade", str(tmp_path / "frames"), "--frame-fps", "8", "--relevance", "motion", "--operator", f"{tmp_path}/own.py:first", "--out", str(out))
    assert result.exit_code == 0, result.stderr
    clip = read_clip(out)
    assert len(clip) == 24
    assert (clip.frames == clip.frames[0]).mean() > 0.99


def test_degrade_writes_a_video_without_the_flash(flash, tmp_path):
    result = call("degrade", str(flash), "--relevance", "motion", "--out", str(tmp_path / "v.mp4"))
    assert result.exit_code == 0, result.stderr
    clip = read_clip(tmp_path / "v.mp4")
    assert len(clip) == 24
    assert clip.frames.max() < 80


def test_a_still_video_has_no_degraded_twin(clip_file, tmp_path):
    still = clip_file(np.full((8, 32, 48, 3), 40, np.uint8), 8, name="still.mp4")
    assert "Nothing would be replaced" in call("keyframes", str(still), "--relevance", "motion").stdout
    result = call("degrade", str(still), "--relevance", "motion", "--out", str(tmp_path / "v.mp4"))
    assert result.exit_code == 2
    assert "there is no V' to write" in result.stderr
    assert not (tmp_path / "v.mp4").exists()


def test_wrong_arguments_of_keyframes_exit_2(flash, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "file").touch()
    for arguments, words in (
        (["nowhere.mp4"], "nowhere.mp4"),
        ([str(tmp_path / "text.mp4")], "text.mp4"),
        ([str(flash), "--relevance", "motoin"], "motoin"),
        ([str(tmp_path)], "is a folder that holds no image"),
        ([str(flash), "--event", "soon"], "event 'soon' cannot be read; expected START-END"),
        ([str(flash), "--event", "2-1"], "event '2-1' cannot be read"),
        ([str(flash), "--operator", "own.py:no"], "file 'own.py' of operator does not exist"),
        ([str(flash), "--operator", "held"], "operator 'held' is unknown (did you mean 'hold'?); expected one of hold, predecessor"),
        ([str(flash), "--relevance", "motion", "--html", str(tmp_path / "file" / "page.html")], "is in the way"),
    ):
        result = call("keyframes", *arguments)
        assert result.exit_code == 2
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def test_wrong_paths_of_the_reading_commands_exit_2(tmp_path):
    for arguments in (["data", "check", str(tmp_path / "nowhere")], ["report", str(tmp_path / "nowhere")]):
        result = call(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert str(tmp_path / "nowhere") in result.stderr


def test_a_disk_that_fills_up_in_a_stage_names_the_run_folder(monkeypatch, tmp_path):
    """Buffered writes fail without a file's name; the run folder is then what to say."""
    (tmp_path / "sft.yaml").write_text("output: runs/a\ntrain: [x]\nmodel: {path: y}\n")

    def full(config):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("videoperceiver.training.sft.run", full)
    result = call("sft", str(tmp_path / "sft.yaml"))
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: runs/a: the disk is full; free some space and run the same command again")


def test_ctrl_c_in_a_stage_says_how_to_continue(tmp_path):
    """A stage that waits, under the real entry point, killed by a real SIGINT."""
    (tmp_path / "sft.yaml").write_text("output: runs/a\ntrain: [x]\n")
    code = (
        "import signal, sys, time, types\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it, and so do their children
        "stage = types.ModuleType('videoperceiver.training.sft')\n"
        "def run(config):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "stage.run = run\n"
        "sys.modules['videoperceiver.training'] = types.ModuleType('videoperceiver.training')\n"
        "sys.modules['videoperceiver.training.sft'] = stage\n"
        "from videoperceiver.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "sft", "sft.yaml", "model.path=my model"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, words = child.communicate(timeout=20)
    assert child.returncode == 130
    assert words == "Interrupted. What is done stays in runs/a; the same command continues it:\n  videoperceiver sft sft.yaml 'model.path=my model'\n"


def test_a_name_cannot_write_lines_of_the_preflight(flash, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a\nok   b.mp4\x1b[2J.mp4").write_text("no video")
    result = call("data", "check", str(tmp_path / "clips"), "--num-workers", "1")
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["BAD", "0"]
    assert "\x1b" not in result.stdout


def test_a_name_is_not_read_as_markup(flash, tmp_path):
    odd = tmp_path / "[red]x.mp4"
    odd.write_bytes(flash.read_bytes())
    result = call("keyframes", str(odd), "--relevance", "motion", "--fps", "2")
    assert result.exit_code == 0, result.stderr
    assert "look at [red]x.mp4" in result.stderr
