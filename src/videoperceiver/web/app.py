"""Builds the page and serves it on loopback."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from videoperceiver.errors import ConfigError
from videoperceiver.inference.perceiver import VideoPerceiver
from videoperceiver.web import cards
from videoperceiver.web.access import Access, check_exposure
from videoperceiver.web.ask_tab import ask_tab
from videoperceiver.web.browse_tabs import manifest_tab, run_tab
from videoperceiver.web.theme import theme

_DELETE_AFTER_S = 3600
"""Uploads and answers' files that nobody used for this long are deleted; all of them when the server stops."""
_WAITING = 32
"""Most requests that wait for the model; more are told to come back."""


def build(perceiver: VideoPerceiver, access: Access) -> gr.Blocks:
    """The page.

    Args:
        perceiver: answers; without a model only finding works.
        access: folders and limits.
    """
    with gr.Blocks(title="VideoPerceiver", analytics_enabled=False, delete_cache=(600, _DELETE_AFTER_S)) as blocks:
        gr.HTML(cards.header(perceiver.model_name, perceiver.relevance_name, perceiver.fps, perceiver.max_frames), css_template="")
        with gr.Tab("Video"):
            ask_tab(perceiver, access)
        if access.roots:
            with gr.Tab("Runs") as runs:
                run_tab(runs, access)
            with gr.Tab("Manifests") as manifests:
                manifest_tab(manifests, access)
    return blocks.queue(max_size=_WAITING, default_concurrency_limit=4)


@contextmanager
def serving(
    perceiver: VideoPerceiver, access: Access, *, host: str = "127.0.0.1", port: int | None = None, auth: tuple[str, str] | None = None
) -> Iterator[tuple[gr.Blocks, str]]:
    """Serves the page while the context lasts; what was uploaded or written for it is gone afterwards.

    Args:
        perceiver: as in `build`.
        access: as in `build`.
        host: loopback, unless there is a password.
        port: None = a free one.
        auth: user and password.

    Yields:
        The page and its address.

    Raises:
        ConfigError: others could reach it without a password.
        OSError: the port is taken.
    """
    check_exposure(host, auth)
    with tempfile.TemporaryDirectory(prefix="videoperceiver-web-") as scratch, _temporary(scratch):
        blocks = build(perceiver, access)
        address = _launch(blocks, access, host, port, auth)
        try:
            yield blocks, address
        finally:
            blocks.close(verbose=False)


def _launch(blocks: gr.Blocks, access: Access, host: str, port: int | None, auth: tuple[str, str] | None) -> str:
    """Starts the server beside this thread; its address."""
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        auth=auth,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        allowed_paths=[str(root) for root in access.roots],
        max_file_size=access.max_upload_mb * 2**20,
        footer_links=[],
        theme=theme(),
        css_paths=Path(__file__).with_name("page.css"),
        ssr_mode=False,
        show_error=True,
    )
    return address


@contextmanager
def _temporary(folder: str) -> Iterator[None]:
    """Uploads, V' and thumbnails all go to one folder."""
    before = os.environ.get("GRADIO_TEMP_DIR"), tempfile.tempdir
    os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before[1]
        if before[0] is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before[0]


def auth_from_environment() -> tuple[str, str] | None:
    """VIDEOPERCEIVER_WEB_AUTH=user:password, None where it is not set."""
    user, _, password = os.environ.get("VIDEOPERCEIVER_WEB_AUTH", "").partition(":")
    return (user, password) if user and password else None


def folders(given: list[Path]) -> tuple[Path, ...]:
    """Resolved folders that exist.

    Raises:
        ConfigError: one is none.
    """
    for folder in given:
        if not folder.is_dir():
            raise ConfigError(f"--root {folder}: no such folder; expected one that holds videos, runs or manifests")
    return tuple(folder.resolve() for folder in given)
