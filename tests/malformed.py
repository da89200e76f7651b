"""Files that are no good videos: what the video core is tested on, one of each, for the commands and the page."""

import os
import wave
from pathlib import Path

import numpy as np

from tests.video.conftest import drawn, encode
from tests.video.test_fuzz import MUTATIONS

NEVER_READ = ("missing", "empty", "text", "html", "playlist", "concat", "noise", "sound", "fifo", "device", "loop", "folder", "half", "no-header")
"""Those that no reader could take for a video; the others are damaged, and may still be readable in part."""


def malformed(folder: Path) -> dict[str, Path]:
    """Kind -> path, all below `folder`."""
    paths = {kind: folder / f"{kind}.mp4" for kind in NEVER_READ}
    whole = encode(folder / "whole.mp4", drawn(24, 48, 64), g="8", bf="2").read_bytes()
    other = encode(folder / "other.mkv", drawn(24, 48, 64), g="8", bf="2").read_bytes()
    paths["empty"].touch()
    paths["text"].write_text("no video at all\n" * 50)
    paths["html"].write_text("<html><body><script>document.title='owned'</script>403</body></html>")
    paths["playlist"].write_text("#EXTM3U\nhttp://127.0.0.1:9/x.ts\n")
    paths["concat"].write_text(f"ffconcat version 1.0\nfile {folder / 'whole.mp4'}\n")
    paths["noise"].write_bytes(np.random.default_rng(0).bytes(5000))
    with wave.open(str(paths["sound"]), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    os.mkfifo(paths["fifo"])
    paths["device"].symlink_to("/dev/zero")
    paths["loop"].symlink_to(paths["loop"])
    paths["folder"].mkdir()
    paths["half"].write_bytes(whole[: len(whole) // 2])
    paths["no-header"].write_bytes(whole[600:])
    rng = np.random.default_rng(7)
    for mutate in MUTATIONS:
        name = f"{mutate.__name__} it's <b>!\n\x1b[31m.mkv"
        paths[mutate.__name__] = folder / name
        paths[mutate.__name__].write_bytes(mutate(bytearray(other), rng, [whole, other]))
    return paths
