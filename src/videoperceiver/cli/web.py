"""The page from the shell."""

from pathlib import Path
from typing import Annotated

import typer

from videoperceiver.cli.boundary import app


@app.command()
def web(
    model: Annotated[str, typer.Option(help="A checkpoint: a folder such as RUN/model, or a hub id; without one the page can only find.")] = "",
    root: Annotated[
        list[Path] | None, typer.Option(help="A folder whose videos, runs and manifests the page may read; may be repeated.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs VIDEOPERCEIVER_WEB_AUTH=user:password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    relevance: Annotated[str, typer.Option(help="motion, proxy, or clip, siglip2, blip2 (as NAME or NAME:MODEL).")] = "proxy",
    fps: Annotated[float, typer.Option(min=0.01, help="Frames a second to look at closely.")] = 4.0,
    max_frames: Annotated[int, typer.Option(min=4, help="Most frames the model sees at once; even.")] = 64,
    max_upload_mb: Annotated[int, typer.Option(min=1, help="Largest file that may be uploaded.")] = 512,
    max_duration_s: Annotated[float, typer.Option("--max-duration", min=1, help="Longest video, seconds.")] = 4 * 3600,
) -> None:
    """A page in the browser: ask, find, describe; browse runs and manifests."""
    from videoperceiver.scoring.extras import require

    require("gradio", extra="web", purpose="The page")
    from videoperceiver.inference.perceiver import VideoPerceiver
    from videoperceiver.web.access import Access, check_exposure, check_port
    from videoperceiver.web.app import auth_from_environment, folders, serving

    auth = auth_from_environment()
    check_exposure(host, auth)
    check_port(host, port)
    access = Access(folders(root or []), max_upload_mb, max_duration_s)
    perceiver = VideoPerceiver.load(model or None, relevance=relevance, fps=fps, max_frames=max_frames)
    with serving(perceiver, access, host=host, port=port, auth=auth) as (blocks, address):
        typer.echo(f"VideoPerceiver at {address} (Ctrl-C stops it)")
        blocks.block_thread()
