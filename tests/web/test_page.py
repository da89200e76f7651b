"""The page in a real browser: a user uploads a clip, asks, sees answer and curve, clicks a key frame; finds; browses; hostile input stays text."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.malformed import NEVER_READ, malformed

from videoperceiver.data import manifest, reviews

pytest.importorskip("gradio", reason="needs videoperceiver[web]")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.filterwarnings("default"),  # Gradio's own
]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>${document.title='owned'} {{value}} \x1b[31m"
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rendered) -> Path:
    root = tmp_path_factory.mktemp("roots")
    (root / "set").mkdir()
    shutil.copytree(rendered.parent / "clips", root / "set" / "clips")
    shutil.copyfile(rendered, root / "set" / rendered.name)
    (root / "broken.mp4").write_bytes(b"not a video")
    first, other = (sample.id for sample in manifest.read(rendered)[:2])
    rows = [(other, "sample", "too_short", "is shorter than a second", "clip"), (first, "question", "no_answer", "has no answer in the clip", "<b>when ?</b>")]
    lines = (json.dumps(dict(zip(("sample_id", "part", "rule", "reason", "text"), row, strict=True)) | {"part_id": "q"}) + "\n" for row in rows)
    (root / "set" / "dropped.jsonl").write_text("".join(lines))
    sample = manifest.read(rendered)[0]
    asked = (replace(sample.questions[0], text=HOSTILE), *sample.questions[1:])
    manifest.write([replace(sample, caption=HOSTILE * 30_000, questions=asked, tags={"note": HOSTILE * 1000})], root / "set" / "hostile.parquet")
    return root


@pytest.fixture(scope="module")
def speaker(tmp_path_factory) -> Path:
    """A tiny random model that also knows the words of what `find` asks it."""
    from videoperceiver.inference.perceiver import FIND_PROMPT
    from videoperceiver.lab.backbone import build_tiny
    from videoperceiver.lab.tasks import VOCABULARY

    words = FIND_PROMPT.format(event="a flash").split()
    return build_tiny(tmp_path_factory.mktemp("speaker") / "tiny", [*VOCABULARY, *(w for w in dict.fromkeys(words) if w not in VOCABULARY)], seed=0)


@pytest.fixture(scope="module")
def address(folder, speaker):
    from videoperceiver.inference.perceiver import VideoPerceiver
    from videoperceiver.web.access import Access
    from videoperceiver.web.app import serving

    perceiver = VideoPerceiver.load(speaker, relevance="motion", keywords=lambda texts: [("flash",) for _ in texts], max_frames=16, max_new_tokens=4)
    with serving(perceiver, Access((folder,), max_upload_mb=1)) as (_, at):
        yield at


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, address):
    """`visit(**options) -> page`, opened; nothing outside this machine is asked for."""
    contexts = []

    def go(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.asked_for = []
        page.on("request", lambda request: page.asked_for.append(request.url))
        page.goto(address)
        page.wait_for_selector("#question textarea")
        return page

    yield go
    for context in contexts:
        context.close()


def answered(page) -> str:
    """What the page says once it is done."""
    page.wait_for_selector("#result .card.answer, #result .card.error")
    return page.inner_text("#result")


def says(page, where: str, words: str) -> None:
    """Waits until a part of the page says so; where it does not, the failure shows what it says."""
    try:
        page.wait_for_selector(f"{where} >> text={words}")
    except playwright.TimeoutError:
        pytest.fail(f"{where} does not say {words!r} but {page.inner_text(where)!r}")


def ask(page, path, question, button="#ask"):
    page.set_input_files("#player input[type=file]", path)
    page.wait_for_selector("#player video")
    page.fill("#question textarea", question)
    page.click(button)


def flashing(size_px: int = 32) -> np.ndarray:
    frames = np.full((16, size_px, size_px, 3), 70, np.uint8)
    frames[8:10] = 250
    return frames


def test_upload_ask_and_jump_to_a_key_frame(visit, clip_file):
    page = visit()
    ask(page, clip_file(flashing(), 4, pix_fmt="yuv420p"), "what colour is the flash ?")
    answered(page)
    page.wait_for_selector("#player-degraded video")
    said = page.inner_text("#result .said")
    assert said
    assert said == page.inner_text("#answer-full .said")
    assert "frames around" in page.inner_text("#result .rests")
    assert "Looked at 16 frames" in page.inner_text("#result")
    key = page.locator("#curve .keys [data-t]").first
    key.click()
    at_s = float(key.get_attribute("data-t"))
    page.wait_for_function(f"Math.abs(document.querySelector('#player video').currentTime - {at_s}) < 0.05")
    assert 1.5 <= at_s <= 2.75
    assert page.frame_locator("#strip iframe").locator("img").count() >= 16
    assert all(url.startswith(("http://127.0.0.1", "blob:", "data:", "about:")) for url in page.asked_for)


def test_find_by_path_shows_moments_that_jump(visit, folder):
    page = visit()
    video = sorted((folder / "set").rglob("*.mp4"))[0]
    page.fill("#path textarea, #path input", str(video.relative_to(folder)))
    page.keyboard.press("Enter")
    page.wait_for_selector("#player video")
    page.fill("#question textarea", "a flash")
    page.click("#find")
    assert "best first" in answered(page) or "One moment" in answered(page)
    assert "probability that the model sees it" in page.inner_text("#result .note")
    moment = page.locator("#result .moments button").first
    at_s = float(moment.get_attribute("data-t"))
    moment.click()
    page.wait_for_function(f"Math.abs(document.querySelector('#player video').currentTime - {at_s}) < 0.05")
    assert page.locator("#curve .dot").count() == page.locator("#result .moments li").count()


def test_describe_shows_stretches(visit, folder):
    page = visit()
    page.fill("#path textarea, #path input", str(sorted((folder / "set").rglob("*.mp4"))[0].relative_to(folder)))
    page.click("#describe")
    assert "describe" in answered(page).lower() or "What happens" in answered(page)


@pytest.mark.parametrize(
    ("path", "words"), [("broken.mp4", "broken.mp4"), ("../../etc/passwd", "folders this page may read"), (HOSTILE, "folders this page may read")]
)
def test_bad_paths_are_told(visit, path, words):
    page = visit()
    page.fill("#path textarea, #path input", path)
    page.fill("#question textarea", "what ?")
    page.click("#ask")
    assert words in answered(page)
    assert page.title() == "VideoPerceiver"


def test_hostile_words_stay_words(visit, folder, clip_file):
    page = visit()
    ask(page, clip_file(flashing(), 4, name="<img src=x onerror=alert(1)>.mp4", pix_fmt="yuv420p"), HOSTILE)
    assert "vocabulary" in answered(page)
    assert page.title() == "VideoPerceiver"
    assert page.locator("#result img, #result script, #curve img, #curve script").count() == 0


def test_every_malformed_file_is_told(visit, folder):
    """By path, all of them, and the page goes on."""
    bad = folder / "bad"
    bad.mkdir()
    page = visit()
    page.fill("#question textarea", "a flash")
    for kind, path in malformed(bad).items():
        page.fill("#path textarea, #path input", f"bad/{path.name}".replace("\n", ""))
        page.evaluate("document.querySelector('#result .card').classList.add('old')")
        page.click("#find")
        page.wait_for_selector("#result .card.answer:not(.old), #result .card.error:not(.old)")
        said = page.inner_text("#result")
        assert "That did not work" in said or kind not in NEVER_READ, kind
        assert "Traceback" not in said
    assert page.title() == "VideoPerceiver"


@pytest.mark.parametrize("kind", ["text", "half", "sound", "flip_bits"])
def test_a_malformed_upload_is_told(visit, tmp_path, kind):
    page = visit()
    page.set_input_files("#player input[type=file]", malformed(tmp_path)[kind])
    page.wait_for_selector("#player video")
    page.fill("#question textarea", "a flash")
    page.click("#find")
    assert "That did not work" in answered(page) or kind not in NEVER_READ


def test_megabytes_of_text_are_refused(visit, address, folder):
    """The box takes no more; a program that goes around it is told."""
    from gradio_client import Client

    video = sorted((folder / "set").rglob("*.mp4"))[0]
    client = Client(address, verbose=False)
    found = client.predict(None, str(video), "flash " * 500_000, api_name="/find")
    assert "characters; expected at most" in str(found)
    client.close()


def test_too_large_an_upload_is_refused(visit, tmp_path):
    big = tmp_path / "big.mp4"
    big.write_bytes(os.urandom(1_200_000))
    page = visit()
    page.set_input_files("#player input[type=file]", big)
    page.wait_for_selector("text=/exceed|too large|maximum|size/i")
    assert page.locator("#player video").count() == 0


def test_a_sample_is_reviewed(visit, folder):
    path = next(folder.rglob("manifest.parquet"))
    page = visit()
    page.get_by_role("tab", name="Manifests").click()
    page.click("#manifest input")
    page.locator("[role=option]", has_text=str(path)).click()
    says(page, "#sample-words", "not reviewed")
    page.wait_for_selector("#sample-strip iframe")  # the last of what the choice changes
    assert "the caption of it" not in page.inner_text("#left-out")
    assert page.inner_text("#left-out tbody tr:first-child").split("\t")[2:] == ["<b>when ?</b>", "no_answer", "has no answer in the clip"]
    assert page.locator("#left-out tr.own").count() == 1
    assert page.locator("#left-out tbody tr").count() == 2
    page.fill("#reason textarea, #reason input", "the flash is too faint")
    assert page.input_value("#reason textarea, #reason input") == "the flash is too faint"
    page.click("#reject")
    says(page, "#sample-words", "2 of 10")
    assert "1 reviewed" in page.inner_text("#sample-words")
    first = manifest.read(path)[0]
    assert reviews.of(first) == "rejected"
    assert first.tags[reviews.REASON] == "the flash is too faint"
    page.click("#reject")
    says(page, "#sample-words", "needs a reason")


def test_hostile_rows_stay_words(visit, folder):
    """A caption of megabytes, markup in caption, question and tags."""
    page = visit()
    page.get_by_role("tab", name="Manifests").click()
    page.click("#manifest input")
    page.locator("[role=option]", has_text="hostile.parquet").click()
    page.wait_for_selector("#sample-words >> text=not reviewed")
    page.wait_for_selector("#sample-strip iframe")
    assert page.locator("#sample-words img, #sample-words script").count() == 0
    assert page.frame_locator("#sample-strip iframe").locator("script, img[onerror]").count() == 0
    assert "onerror" in page.inner_text("#sample-words")
    assert len(page.inner_text("#sample-words")) < 10_000
    assert page.title() == "VideoPerceiver"


def test_a_full_disk_costs_the_films_and_not_the_answer(tmp_path, speaker, clip_file, monkeypatch):
    """On a file system of 64 KB, as root can mount one."""
    import subprocess
    import tempfile

    from videoperceiver.inference.perceiver import VideoPerceiver
    from videoperceiver.web.ask_tab import _asked

    disk = tmp_path / "disk"
    disk.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system")
    try:
        (disk / "filler").write_bytes(bytes(60_000))
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        perceiver = VideoPerceiver.load(speaker, relevance="motion", keywords=lambda texts: [("flash",) for _ in texts], max_frames=16, max_new_tokens=4)
        noisy = np.random.default_rng(0).integers(0, 255, (16, 64, 64, 3), np.uint8)
        noisy[8:10] = 250
        *_, last = _asked(perceiver, clip_file(noisy, 4), "what colour is the flash ?")
    finally:
        subprocess.run(["umount", disk], check=True)
    assert list(last) == ["result"]
    assert "V and V′ cannot be shown" in last["result"]
    assert "the disk is full" in last["result"]
    assert 'class="said"' in last["result"]


def test_three_users_at_once_and_a_closed_tab(visit, clip_file):
    path = clip_file(flashing(), 4, pix_fmt="yuv420p")
    pages = [visit() for _ in range(3)]
    for page, question in zip(pages, ("what colour is the flash ?", "when is the pop ?", "how many flashes are there ?"), strict=True):
        ask(page, path, question)
    pages[0].close()  # mid-answer
    assert "Answer" in answered(pages[1])
    assert "Answer" in answered(pages[2])


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_runs_off_the_screen(visit, width, scheme):
    page = visit(viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def talkative(speaker):
    """A page whose model says thousands of words, so that what follows must not wait for its end; with the number of tokens it computed."""
    from videoperceiver.inference.perceiver import VideoPerceiver
    from videoperceiver.web.access import Access
    from videoperceiver.web.app import serving

    perceiver = VideoPerceiver.load(speaker, relevance="motion", keywords=lambda texts: [("flash",) for _ in texts], max_frames=4, max_new_tokens=100_000)
    perceiver.backbone.adapter.model.generation_config.eos_token_id = perceiver.backbone.tokenizer.eos_token_id = None
    tokens = []
    perceiver.backbone.adapter.decoder.layers[-1].register_forward_hook(lambda *_: tokens.append(1))
    with serving(perceiver, Access()) as (_, at):
        yield at, tokens


def stands_still(tokens) -> bool:
    """Whether the model comes to rest within some seconds."""
    for _ in range(40):
        before = len(tokens)
        time.sleep(0.5)
        if len(tokens) == before:
            return True
    return False


@pytest.mark.parametrize("leave", ["close", "stop"])
def test_an_answer_is_streamed_and_a_tab_that_leaves_frees_the_model(browser, talkative, clip_file, leave):
    address, tokens = talkative
    path = clip_file(flashing(), 4, pix_fmt="yuv420p")
    first, second = browser.new_page(), browser.new_page()
    for page in (first, second):
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
    ask(first, path, "what colour is the flash ?")
    first.wait_for_selector("#result .working .said")
    early = len(first.inner_text("#result .said"))
    first.wait_for_function(f"document.querySelector('#result .said').innerText.length > {early}")
    ask(second, path, "a flash", "#find")
    if leave == "close":
        first.close()
    else:
        first.click("#stop")
        first.wait_for_selector("#stop", state="detached")
        assert first.evaluate("getComputedStyle(document.querySelector('#result h2'), '::after').content") == '" (stopped)"'
        assert len(first.inner_text("#result .said")) > early
    assert "moment" in answered(second)  # its turn came, though the first answer would have taken minutes more
    assert stands_still(tokens)
    second.close()
    if leave == "stop":
        first.close()


def test_uploads_are_gone_when_the_server_stops(tiny_model, clip_file, browser):
    import tempfile

    from videoperceiver.inference.perceiver import VideoPerceiver
    from videoperceiver.web.access import Access
    from videoperceiver.web.app import serving

    before = tempfile.gettempdir()
    with serving(VideoPerceiver(None, relevance="motion"), Access()) as (_, at):
        scratch = Path(tempfile.gettempdir())
        assert scratch != Path(before)
        page = browser.new_page()
        page.goto(at)
        page.set_input_files("#player input[type=file]", clip_file(flashing(), 4, pix_fmt="yuv420p"))
        page.wait_for_selector("#player video")
        deadline = time.monotonic() + 10
        while not list(scratch.rglob("*.mp4")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list(scratch.rglob("*.mp4"))
        page.close()
    assert not scratch.exists()
    assert tempfile.gettempdir() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--root", "/no/such/folder"], "--root /no/such/folder: no such folder"),
        (["--host", "0.0.0.0"], "VIDEOPERCEIVER_WEB_AUTH=user:password"),
        (["--model", "./no/such/model"], "no checkpoint loads from there"),
        (["--port", "TAKEN"], "choose another by --port"),
    ],
)
def test_web_says_what_is_wrong(arguments, words):
    import socket

    from typer.testing import CliRunner

    from videoperceiver.cli import app

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        if "TAKEN" not in arguments:
            taken.close()
            arguments = [*arguments, "--port", port]
        said = CliRunner().invoke(app, ["web", *(port if a == "TAKEN" else a for a in arguments), "--relevance", "motion"])
    assert said.exit_code == 2, said.output
    assert words in said.stderr
