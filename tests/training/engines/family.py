"""Who is whose child, and who has ended, as /proc tells it."""

import time
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Processes whose parent it is, oldest first."""
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(child for child in found if (_stat(child) or ["", ""])[1] == str(pid))


def parent_of(pid: int) -> int:
    return int((_stat(pid) or ["", "0"])[1])


def gone(pid: int, within_s: float = 15) -> bool:
    """Whether it ends within so many seconds; one that is dead and not reaped has ended."""
    end = time.monotonic() + within_s
    while (fields := _stat(pid)) is not None and fields[0] != "Z":
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _stat(pid: int) -> list[str] | None:
    """[state, parent, ..], None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
