"""`videoperceiver --help` from a cold process: under 0.3 s, because no command imports torch before it is called.

    python benchmarks/help_time.py [--quick]

`ratio` is 0.3 s over the median wall time; goal 1.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

BOUND_S = 0.3


def seconds() -> float:
    """One call, from the start of the process to its end."""
    began = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("videoperceiver")), "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Prints the figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three calls in place of eleven")
    number = 3 if parser.parse_args().quick else 11
    seconds()  # fills the disk cache
    found = sorted(seconds() for _ in range(number))
    median = statistics.median(found)
    print(f"{number} calls: median {median:.3f} s, from {found[0]:.3f} to {found[-1]:.3f} s")
    detail = {"median_s": round(median, 3), "least_s": round(found[0], 3), "calls": number}
    print(json.dumps({"name": "help_time", "ratio": round(BOUND_S / median, 2), "goal": 1.0, "holds": median <= BOUND_S, "detail": detail}))


if __name__ == "__main__":
    main()
