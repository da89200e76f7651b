"""Experiment trackers that read along: TensorBoard, trackio, Weights & Biases. metrics.jsonl is written without them."""

import dataclasses
import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.runs import Run

Track = Callable[[int, Mapping[str, float]], None]
"""Step and its scalars, named as in metrics.jsonl without the stage."""

PACKAGES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}


@contextmanager
def opened(names: Sequence[str], run: Run, config: Any, *, start: int = 0, speaks: bool = True) -> Iterator[Track]:
    """All trackers a recipe names, as one; closed at the end of the block.

    Args:
        names: any of `PACKAGES`.
        run: whose name and folder they carry.
        config: the stage's, shown beside the curves.
        start: the first step to come; what an interrupted session tracked from it on is dropped where the tracker can.
        speaks: False on the ranks beside the first, which track nothing.

    Raises:
        ConfigError: no tracker of that name.
        MissingExtraError: its package is not installed.
    """
    for name in names:
        if name not in PACKAGES:
            raise ConfigError(f"runtime.trackers: no tracker {name!r}; expected some of {', '.join(PACKAGES)}")
        _require(PACKAGES[name])
    with ExitStack() as stack:
        tracks = [stack.enter_context(_OPEN[name](run, config, start)) for name in names] if speaks else []

        def track(step: int, scalars: Mapping[str, float]) -> None:
            finite = {name if "/" in name else f"{run.stage}/{name}": value for name, value in scalars.items() if math.isfinite(value)}
            for each in tracks:
                each(step, finite)

        yield track


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "track", f"the tracker {package}") from error


@contextmanager
def _tensorboard(run: Run, config: Any, start: int) -> Iterator[Track]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run.folder / "tensorboard"), purge_step=start) as writer:

        def track(step: int, scalars: Mapping[str, float]) -> None:
            for name, value in scalars.items():
                writer.add_scalar(name, value, step)

        yield track


@contextmanager
def _session(package: str, run: Run, config: Any, **options: Any) -> Iterator[Track]:
    """trackio and wandb share an interface; both continue what they hold under this name."""
    tracker = _require(package)
    tracker.init(project="videoperceiver", name=run.folder.name, config=dataclasses.asdict(config), resume="allow", **options)
    try:
        yield lambda step, scalars: tracker.log(dict(scalars), step=step)
    finally:
        tracker.finish()


_OPEN: dict[str, Any] = {
    "tensorboard": _tensorboard,
    "trackio": lambda run, config, start: _session("trackio", run, config),
    "wandb": lambda run, config, start: _session("wandb", run, config, id=run.folder.name, dir=str(run.folder)),
}
