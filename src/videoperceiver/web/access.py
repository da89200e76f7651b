"""What the page may touch: files below the folders it was given, and uploads within limits."""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from videoperceiver.data.card.split_files import FOLDER
from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.video.read import probe

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DEPTH = 4
_MOST_LISTED = 500


@dataclass(frozen=True)
class Access:
    """Folders and limits.

    Attributes:
        roots: folders, resolved; empty = nothing but uploads.
        max_upload_mb: of one file.
        max_duration_s: of one video.
    """

    roots: tuple[Path, ...] = ()
    max_upload_mb: int = 512
    max_duration_s: float = 4 * 3600.0

    def path(self, given: str) -> Path:
        """A file or folder below one of the roots, links followed.

        Raises:
            SampleError: it lies outside, or does not exist.
        """
        named = given.strip().strip("\"'")
        if not named or "\0" in named:
            raise SampleError("no path; name a file below the folders this page may read", path=given)
        asked = Path(named)
        candidates = [asked] if asked.is_absolute() else [root / asked for root in self.roots]
        for candidate in candidates:
            try:
                resolved = candidate.resolve(strict=True)
            except (OSError, RuntimeError):  # not there, too long a name, a loop of links
                continue
            if any(resolved.is_relative_to(root) for root in self.roots):
                return resolved
        allowed = ", ".join(map(str, self.roots)) or "none: start the page with --root FOLDER"
        raise SampleError(f"not a file below the folders this page may read ({allowed})", path=given)

    def video(self, path: Path) -> Path:
        """A video that is not too long to look at.

        Raises:
            VideoReadError: it cannot be read.
            SampleError: it is longer than allowed.
        """
        length_s = probe(path).duration_s
        if length_s is not None and length_s > self.max_duration_s:
            raise SampleError(f"{length_s:.0f} s long; expected at most {self.max_duration_s:.0f} s (--max-duration)", path=path.name)
        return path

    def runs(self) -> list[str]:
        """Run folders below the roots, newest first."""
        found = [path.parent for root in self.roots for path in _walk(root, "status.json")]
        return [str(path) for path in sorted(found, key=lambda p: -p.stat().st_mtime)]

    def manifests(self) -> list[str]:
        """Manifests below the roots, newest first."""
        found = [path for root in self.roots for name in ("*.parquet", "manifest*.jsonl") for path in _walk(root, name)]
        found = [path for path in found if path.parent.name != FOLDER]  # a data set's rows once more, for `datasets`
        return [str(path) for path in sorted(found, key=lambda p: -p.stat().st_mtime)]


def check_exposure(host: str, auth: tuple[str, str] | None) -> None:
    """A page that others can reach needs a password.

    Raises:
        ConfigError: it has none.
    """
    if host not in LOOPBACK and auth is None:
        raise ConfigError(
            f"host {host} lets other machines reach this page; set VIDEOPERCEIVER_WEB_AUTH=user:password in the environment, "
            "or stay on 127.0.0.1 and use an ssh tunnel"
        )


def check_port(host: str, port: int) -> None:
    """A port that is taken is told before a model is loaded.

    Raises:
        ConfigError: nothing can listen there.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise ConfigError(f"port {port} of {host} cannot be listened on ({error.strerror or error}); choose another by --port") from error


def _walk(root: Path, pattern: str) -> Iterator[Path]:
    """Matching files, a few levels deep, links not followed."""
    folders: Sequence[Path] = [root]
    listed = 0
    for _ in range(_DEPTH):
        deeper: list[Path] = []
        for folder in folders:
            try:
                entries = sorted(folder.iterdir())
            except OSError:
                continue  # a folder this user may not list holds nothing this page may show
            for entry in entries:
                if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                    deeper.append(entry)
                elif entry.match(pattern) and entry.is_file() and listed < _MOST_LISTED:
                    listed += 1
                    yield entry
        folders = deeper
