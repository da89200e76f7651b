"""Checkpoints: what a run needs to go on as if it had never stopped.

    checkpoints/step-00000100/
        state.json              step, JSON state of the stage, shapes of the weights, number of parts, held-out figures
        rank-00000.safetensors  this rank's rows of the trained weights, their average and the optimizer's state; rank 0 also the stage's tensors

Only what is trained is in it: the rest comes from the recipe's model. Parts are written beside and renamed together once all are complete, so a kill or a
full disk leaves the checkpoints before it as they were. Nothing is pickled (torch.distributed.checkpoint pickles its metadata), and a run may continue on
another number of ranks: each reads the rows it needs.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from videoperceiver.errors import RunError
from videoperceiver.runs import Run
from videoperceiver.training.policy import Policy, local, trained

STATE = "state.json"
SCHEMA = 1
WEIGHT, AVERAGE, STAGE = "weight", "average", "stage"
_FAILED = "the checkpoint could not be written ({}); free space or name another output. Earlier checkpoints are untouched"


@dataclass(frozen=True)
class State:
    """What a checkpoint says beside weights and optimizer.

    Attributes:
        step: updates that were made.
        extra: JSON state of the stage.
        tensors: the stage's, on the CPU.
        metrics: held-out figures at that step.
    """

    step: int
    extra: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def save(
    run: Run,
    policy: Policy,
    step: int,
    *,
    extra: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
    metrics: Mapping[str, float] | None = None,
    keep: int = 2,
    best_by: str = "",
) -> Path:
    """Writes the checkpoint after `step` updates; every rank calls it with the same arguments. All but the last `keep` and the best then go.

    Args:
        run: whose folder; all machines must share it.
        policy: weights, their average, optimizer.
        step: updates made.
        extra: JSON state of the stage.
        tensors: of the stage, equal on all ranks.
        metrics: held-out figures, None where they were not measured at this step.
        keep: checkpoints kept, the newest.
        best_by: the figure whose largest value marks a checkpoint to keep as well.

    Raises:
        RunError: it could not be written, on whichever rank.
    """
    world, final = policy.world, run.checkpoint_path(step)
    part = final.with_name(f".{final.name}.part")
    stage = tensors or {} if world.speaks else {}
    problem = _try(_begin, part) if world.speaks else ""
    _agree(policy, final, problem)
    problem = _try(_write_part, part, policy, stage)
    _agree(policy, final, problem)
    index = {"schema": SCHEMA, "step": step, "parts": world.size if _is_spread(policy) else 1, "shapes": _shapes(policy)}
    problem = _try(_complete, part, final, index | {"extra": dict(extra or {}), "metrics": finite(metrics or {})}) if world.speaks else ""
    _agree(policy, final, problem)
    if world.speaks:
        _forget(final.parent, keep, best_by)
    return final


def resume(run: Run, policy: Policy) -> State | None:
    """Takes over the newest checkpoint of the run: weights, average, optimizer. None where there is none.

    Raises:
        RunError: it is of another model, or damaged.
    """
    folder = newest(run)
    return None if folder is None else load(folder, policy)


def newest(run: Run) -> Path | None:
    """Folder of the last complete checkpoint."""
    return max((run.folder / "checkpoints").glob("step-*"), default=None)


def best(folder: Path, by: str) -> Path | None:
    """Of the checkpoints in a folder the one with the largest held-out figure, the later of equals; None where none was measured."""
    measured = [(figure, path) for path in sorted(folder.glob("step-*")) if (figure := _index(path)["metrics"].get(f"held_out/{by}")) is not None]
    return max(measured, default=(0.0, None))[1]


def load(folder: Path, policy: Policy) -> State:
    """Takes over one checkpoint."""
    index = _index(folder)
    _check_shapes(folder, index["shapes"], _shapes(policy))
    try:
        with Parts(folder, index["parts"]) as parts:
            _restore(parts, policy)
            stage = {name: parts.whole(key) for key, name in parts.names(STAGE)}
    except (OSError, SafetensorError, KeyError) as error:
        raise RunError(f"{folder}: the checkpoint is damaged ({error}); remove this folder, the run then continues from the one before it") from error
    return State(index["step"], index["extra"], stage, index["metrics"])


def weights(folder: Path, *, average: bool = False) -> dict[str, Tensor]:
    """The whole trained weights of a checkpoint, by name, on the CPU; their moving average where asked for.

    Raises:
        RunError: it is damaged, or keeps no average.
    """
    kind, index = AVERAGE if average else WEIGHT, _index(folder)
    try:
        with Parts(folder, index["parts"]) as parts:
            found = {name: parts.whole(key) for key, name in parts.names(kind)}
    except (OSError, SafetensorError) as error:
        raise RunError(f"{folder}: the checkpoint is damaged ({error}); export another one") from error
    if not found:
        raise RunError(f"{folder}: the checkpoint keeps no moving average; train with optim.ema_decay=0.999, or export the weights themselves")
    return found


class Parts:
    """The files of one checkpoint, read as if they were one.

    Args:
        folder: of the checkpoint.
        count: files.
    """

    def __init__(self, folder: Path, count: int):
        self._files = [safe_open(folder / _part_name(rank), framework="pt") for rank in range(count)]
        self._where = [json.loads((file.metadata() or {}).get("rows", "{}")) for file in self._files]  # name -> first row

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._files.clear()

    def names(self, kind: str) -> Iterator[tuple[str, str]]:
        """(key, name) of all tensors of a kind."""
        yield from ((key, key.split("|", 1)[1]) for key in self._files[0].keys() if key.split("|", 1)[0] == kind)  # noqa: SIM118 (not a dict)

    def has(self, key: str) -> bool:
        """Whether a tensor is in it."""
        return key in self._files[0].keys()  # noqa: SIM118 (not a dict)

    def whole(self, key: str) -> Tensor:
        """A tensor with the rows of all parts."""
        if key not in self._where[0]:
            return self._files[0].get_tensor(key)
        return torch.cat([file.get_tensor(key) for file in self._files])

    def rows(self, key: str, first: int, count: int) -> Tensor:
        """Rows first .. first + count of a tensor, from whichever parts hold them; a scalar whole."""
        if key not in self._where[0]:
            tensor = self._files[0].get_slice(key)
            return tensor[first : first + count] if tensor.get_shape() else self._files[0].get_tensor(key)
        found = []
        for file, where in zip(self._files, self._where, strict=True):
            rows = file.get_slice(key)
            start, stop = max(first, where[key]), min(first + count, where[key] + rows.get_shape()[0])
            if start < stop:
                found.append(rows[start - where[key] : stop - where[key]])
        return torch.cat(found) if found else self._files[0].get_tensor(key)[:0]


def _restore(parts: Parts, policy: Policy) -> None:
    for name, weight in trained(policy.backbone).items():
        first, count = _rows(weight)
        with torch.no_grad():
            local(weight).copy_(parts.rows(f"{WEIGHT}|{name}", first, count))
            if policy.average is not None:
                local(policy.average[name]).copy_(parts.rows(f"{AVERAGE}|{name}", first, count))
        for kind in ("exp_avg", "exp_avg_sq", "step"):
            if parts.has(key := f"{kind}|{name}"):
                policy.optimizer.state[weight][kind] = _like(parts.rows(key, first, count), weight)


def _like(value: Tensor, weight: Tensor) -> Tensor:
    """Optimizer state, spread as its weight is."""
    value = value.to(weight.device).clone()
    if value.ndim == 0 or not isinstance(weight, DTensor):
        return value
    return DTensor.from_local(value, weight.device_mesh, weight.placements, shape=weight.shape, stride=weight.stride())


def _tensors(policy: Policy) -> Iterator[tuple[str, str, Tensor]]:
    """(kind, weight's name, tensor) of all that is saved of a policy."""
    for name, weight in trained(policy.backbone).items():
        yield WEIGHT, name, weight
        if policy.average is not None:
            yield AVERAGE, name, policy.average[name]
        yield from ((kind, name, value) for kind, value in policy.optimizer.state.get(weight, {}).items())


def _write_part(part: Path, policy: Policy, stage: Mapping[str, Tensor]) -> None:
    """This rank's file; where weights are whole on each rank, only the first writes one."""
    if not _is_spread(policy) and not policy.world.speaks:
        return
    tensors = {f"{kind}|{name}": value for kind, name, value in _tensors(policy)}
    rows = {key: _rows(value)[0] for key, value in tensors.items() if isinstance(value, DTensor)}
    saved = {key: local(value).detach().cpu().contiguous() for key, value in tensors.items()} | {f"{STAGE}|{k}": v.cpu().contiguous() for k, v in stage.items()}
    path = part / _part_name(policy.world.rank if _is_spread(policy) else 0)
    save_file(saved, path, {"rows": json.dumps(rows)})
    with path.open("rb") as file:
        os.fsync(file.fileno())


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures that were measured."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _begin(part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)


def _complete(part: Path, final: Path, index: Mapping[str, Any]) -> None:
    missing = [name for name in map(_part_name, range(index["parts"])) if not (part / name).is_file()]
    if missing:
        raise OSError(f"{', '.join(missing)} of other ranks did not arrive; all machines must see one folder, e.g. on a network file system")
    (part / STATE).write_text(json.dumps(index))
    _remove(final)
    part.rename(final)


def _forget(folder: Path, keep: int, best_by: str) -> None:
    """Removes old checkpoints, each renamed first: one that is half gone is never taken for a complete one."""
    kept = set(sorted(folder.glob("step-*"))[-keep:])
    kept |= {best(folder, best_by)} if best_by else set()
    for old in set(folder.glob("step-*")) - kept:
        _remove(old)
    for left in folder.glob(".*.gone"):
        shutil.rmtree(left, ignore_errors=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        gone = folder.rename(folder.with_name(f".{folder.name}.gone"))
        shutil.rmtree(gone, ignore_errors=True)


def _try(write: Any, *args: Any) -> str:
    """What went wrong on this rank's disk, "" where nothing did: the other ranks must hear of it before anyone stops."""
    try:
        write(*args)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(args[0], ignore_errors=True)
        return str(error)
    return ""


def _agree(policy: Policy, final: Path, problem: str) -> None:
    """Stops all ranks where the disk of one failed."""
    if failed := next((found for found in policy.world.gather(problem) if found), ""):
        raise RunError(f"{final}: {_FAILED.format(failed)}")


def _rows(tensor: Tensor) -> tuple[int, int]:
    """(first, count) of the rows that this rank holds; FSDP2 cuts dimension 0 as torch.chunk does."""
    if not isinstance(tensor, DTensor):
        return 0, tensor.shape[0] if tensor.ndim else 0
    size, ranks = tensor.shape[0], tensor.device_mesh.size()
    chunk = -(-size // ranks)
    return min(size, tensor.device_mesh.get_local_rank() * chunk), tensor.to_local().shape[0]


def _is_spread(policy: Policy) -> bool:
    return any(isinstance(weight, DTensor) for weight in trained(policy.backbone).values())


def _shapes(policy: Policy) -> dict[str, list[int]]:
    return {name: list(weight.shape) for name, weight in trained(policy.backbone).items()}


def _check_shapes(folder: Path, saved: Mapping[str, list[int]], wanted: Mapping[str, list[int]]) -> None:
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise RunError(
                f"{folder}: the checkpoint is of another model: {name} has shape {saved.get(name, 'none')} there and "
                f"{wanted.get(name, 'none')} in the recipe's; use the recipe it was made with, or name another output"
            )


def _index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: no checkpoint of this version lies there ({error}); name a folder checkpoints/step-... of a run") from error
    if index.get("schema") != SCHEMA:
        raise RunError(f"{folder}: checkpoint format {index.get('schema')}, this version reads {SCHEMA}; use the version that wrote it")
    return index


def _part_name(rank: int) -> str:
    return f"rank-{rank:05d}.safetensors"
