"""`videoperceiver lab ablate`: every arm of a study on every seed, in parallel processes, resumable arm by arm.

A unit is one arm with one seed. Units run block by block and, within a block, seed by seed, so that whatever is done when the command is
stopped is balanced. A finished unit has its row and is not run again; one that was killed begins anew.
"""

import logging
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from videoperceiver.errors import ConfigError, RunError, VideoPerceiverError
from videoperceiver.lab import rows
from videoperceiver.lab.arms import Unit, arm_folder, data_path, missing_tests, model_folder, read_row, run_unit
from videoperceiver.lab.rows import Row
from videoperceiver.lab.study import BACKBONE, StudyConfig
from videoperceiver.progress import stage_progress

logger = logging.getLogger(__name__)


def run(config: StudyConfig, only: Sequence[str] = ()) -> Path:
    """Runs what is not finished and writes all rows to `rows.jsonl` in the study's folder.

    Args:
        config: the study.
        only: arms to run; what they start from is run too. Empty = all.

    Returns:
        The file of rows.

    Raises:
        ConfigError: an arm that is not in the study.
        RunError: arms that failed, after all others have run.
    """
    if unknown := [name for name in only if name not in (BACKBONE, *config.arms)]:
        raise ConfigError(f"arms {unknown} are not in this study; it has {', '.join(config.arms)}")
    wanted = list(units(config, only))
    left = [unit for unit in wanted if missing_tests(config, unit)]
    failed: dict[Unit, VideoPerceiverError] = {}
    with (
        ProcessPoolExecutor(config.num_workers, mp_context=get_context("spawn"), initializer=_quiet) as pool,
        stage_progress("lab", len(wanted), len(wanted) - len(left)) as advance,
    ):
        for unit, error in _run_all(config, left, pool):
            advance(f"{unit.arm} seed {unit.seed}")
            if error is not None:
                logger.warning("arm %s, seed %d failed: %s", unit.arm, unit.seed, error)
                failed[unit] = error
            collect(config)
    path = collect(config)
    if failed:
        first = next(iter(failed))
        names = ", ".join(f"{unit.arm} seed {unit.seed}" for unit in failed)
        raise RunError(f"{len(failed)} of {len(wanted)} arms failed ({names}), the first with: {failed[first]}. The rest is in {path}")
    return path


def units(config: StudyConfig, only: Sequence[str] = ()) -> Iterator[Unit]:
    """All units in the order in which they are begun: backbones first where their arms need them, then block by block, seed by seed."""
    arms = [name for name in config.arms if not only or name in {step for arm in only for step in config.chain(arm)}]
    seen = set()
    for block in sorted({config.arms[name].block for name in arms} or {1}):
        for seed in config.seeds():
            for name in (BACKBONE, *(name for name in arms if config.arms[name].block == block)):
                unit = Unit(name, seed)
                if seed in config.seeds(name) and unit not in seen:
                    seen.add(unit)
                    yield unit


def _run_all(config: StudyConfig, left: list[Unit], pool: ProcessPoolExecutor) -> Iterator[tuple[Unit, VideoPerceiverError | None]]:
    """Keeps every worker busy with the first unit whose start is finished and whose clips no other is making; a unit whose start failed fails with it."""
    running: dict[Future[None], Unit] = {}
    left, pending = list(left), set(left)
    while left or running:
        while len(running) < config.num_workers and (ready := [unit for unit in left if _start(config, unit) not in pending]):
            unit = next((unit for unit in ready if not _would_wait(config, unit, running.values())), ready[0])
            left.remove(unit)
            running[pool.submit(_run, config, unit)] = unit
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            unit = running.pop(future)
            pending.discard(unit)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise RunError(
                    f"the process of arm {unit.arm}, seed {unit.seed} died (killed, or out of memory); finished arms stay, the same command continues"
                )
            if error is not None and not isinstance(error, VideoPerceiverError):
                raise error
            yield unit, error


def _start(config: StudyConfig, unit: Unit) -> Unit | None:
    return None if unit.arm == BACKBONE else Unit(config.arms[unit.arm].start, unit.seed)


def _would_wait(config: StudyConfig, unit: Unit, running: Collection[Unit]) -> bool:
    """Whether the clips it trains on are being made for another unit of its seed."""
    return unit.arm != BACKBONE and not data_path(config, unit).exists() and any(other.seed == unit.seed for other in running)


def _run(config: StudyConfig, unit: Unit) -> None:
    start = _start(config, unit)
    if start is not None and not model_folder(config, start).exists():
        raise RunError(f"its start, arm {start.arm!r} with seed {start.seed}, has no model in {model_folder(config, start)}; it failed before")
    run_unit(config, unit)


def _quiet() -> None:
    """One bar on the terminal is enough; errors still reach the parent."""
    _one_thread()
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def _one_thread() -> None:
    """Sums in another order have other last bits: every unit runs on one thread."""
    torch.set_num_threads(1)


def finished(config: StudyConfig) -> list[Row]:
    """The rows there are."""
    return [row for unit in units(config) if (row := read_row(config, unit)) is not None]


def collect(config: StudyConfig) -> Path:
    """Writes the rows there are to one file."""
    path = Path(config.output) / "rows.jsonl"
    rows.write(finished(config), path)
    return path


def check(config: StudyConfig, arm: str, seed: int, kept: Row | None = None) -> list[str]:
    """Runs one unit again in a folder of its own and compares it with its row, bit for bit.

    Args:
        config: the study; the unit's start is taken from it.
        arm: to run again.
        seed: of it.
        kept: the row to compare with; None = the one in the study's folder.

    Returns:
        What differs: names of fields and tests; empty where the row is reproduced.

    Raises:
        RunError: there is no row to compare with.
    """
    unit = Unit(arm, seed)
    row = kept or read_row(config, unit)
    if row is None:
        raise RunError(f"{arm_folder(config, unit)} holds no row to compare with; run `videoperceiver lab ablate` first")
    with TemporaryDirectory() as scratch:
        again = replace(config, output=scratch)
        start = _start(config, unit)
        if start is not None and start.arm != BACKBONE:
            target = model_folder(again, start)
            target.parent.mkdir(parents=True)
            target.symlink_to(model_folder(config, start).resolve())
        _one_thread()
        _run(again, unit)
        new = read_row(again, unit)
    assert new is not None
    differing = [name for name in ("steps", "weights", "questions") if getattr(new, name) != getattr(row, name)]
    differing += [name for name in new.last if row.last.get(name) != new.last[name]]
    for test, answers in row.tests.items():
        if test not in new.tests or (answers.correct != new.tests[test].correct).any() or (answers.followed != new.tests[test].followed).any():
            differing.append(test)
    return differing
