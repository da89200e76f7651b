"""One self-contained page of a training run, from its folder alone: a stage writes it at its end, `videoperceiver report RUN` at any time."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from videoperceiver.errors import RunError
from videoperceiver.pages import words
from videoperceiver.pages.figures import CurveGroup, CurvePanel
from videoperceiver.pages.reports import Phase
from videoperceiver.pages.scalars import curve_panels
from videoperceiver.pages.training import SampledGroup, Told, TrainingReport, training_page
from videoperceiver.runs import Run, flat
from videoperceiver.stages import WatchConfig
from videoperceiver.training.drift import Drift

FILE = "report.html"
STAGES = {"sft": "stage 1, fine-tuning with the contrastive loss", "grpo": "stage 2, Comparative GRPO"}
GROUPS = {
    "sft": (
        ("Losses", ("loss", "ce", "contrastive", "vv", "tv", "vt", "uniform", "joint", "lambda")),
        ("What the representation tells apart", ("text_prefers_v", "t2v_r1", "cos_v_degraded")),
        ("Optimiser", ("grad_norm", "lr")),
        (
            "Speed",
            ("clips_per_s", "video_tokens_per_s", "step_s", "wait_share", "vision_share", "llm_share", "contrastive_share", "wait_s", "tokens", "video_tokens"),
        ),
    ),
    "grpo": (
        ("Rewards", ("both_right", "both_wrong", "comparative", "baseline", "base_reward", "refeed_rate", "refeed_gain")),
        ("Signal", ("no_signal", "unscored", "skipped", "redrawn", "failed_rewards", "without_twin")),
        ("Policy", ("loss", "entropy", "length", "kl", "clip_fraction", "ratio", "mismatch", "uniform", "vneg", "capped_kl")),
        ("Optimiser", ("grad_norm", "lr")),
        ("Speed", ("step_s", "rollout_s", "rollout_full_s", "rollout_degraded_s", "vision_s", "reward_s", "update_s", "wait_s", "other_s")),
    ),
}
PAIRS = (("grpo/q", "grpo/q_degraded", "Q of training questions"), ("held_out/accuracy_full", "held_out/accuracy_degraded", "accuracy on held-out clips"))
"""Scalars that belong into one panel: on V, on V', what they are."""
HIDDEN = ("warn_hacking", "warn_entropy", "warn_length")
"""Told as warnings."""
CHANGED = {
    "sft": ("loss", "ce", "contrastive", "t2v_r1", "text_prefers_v", "cos_v_degraded"),
    "grpo": ("q", "q_degraded", "comparative", "both_right", "both_wrong", "no_signal", "refeed_rate", "entropy", "length"),
}
PHASES = {
    "sft": (("waiting for clips", "wait"), ("vision tower", "vision"), ("contrastive terms", "contrastive"), ("language model and the rest", "llm")),
    "grpo": (
        ("vision tower", "vision"),
        ("completions on V", "rollout_full"),
        ("completions on V′", "rollout_degraded"),
        ("completions", "rollout"),
        ("rewards", "reward"),
        ("update", "update"),
    ),
}
MAX_SAMPLES = 6
OTHER = "Also logged"


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a training run.

    Args:
        folder: of a run of stage 1 or 2, finished or not.
        out: folder of report.html, created; None = the run's own.

    Raises:
        RunError: no training run lies there, a file of it is damaged, or `out` cannot be written.
    """
    run = Run.open(folder)
    if run.stage not in STAGES:
        raise RunError(f"{folder} is a run of stage {run.stage!r}; expected one of stage 1 or 2. Evaluations: `videoperceiver report`")
    content = training_page(assemble(run))
    if out is None:
        return run.write_text(FILE, content)
    target = Path(out)
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / FILE).write_text(content, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{target / FILE}: cannot be written ({error.strerror}); name another folder") from error
    return target / FILE


def assemble(run: Run) -> TrainingReport:
    """The page's contents."""
    rows, metadata = run.metrics(), _json(run.folder / "metadata.json")
    config = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    return TrainingReport(
        name=run.folder.name,
        eyebrow=f"VideoPerceiver · {STAGES[run.stage]} · run {run.folder.name}",
        title=_title(run.stage, rows),
        sentences=_sentences(run.stage, rows),
        facts=_facts(run, rows, config),
        changes=_changes(run.stage, rows),
        curves=_curves(run.stage, rows),
        phases=_phases(run.stage, rows),
        samples=_samples(run.folder / "samples.jsonl"),
        rejects=_rejects(run.rejects()),
        settings={"Recipe": flat(config), "Versions": _versions(metadata), "Data": metadata.get("data", {})},
        warnings=_warnings(run.stage, rows, config),
        notes=_notes(run, rows),
    )


# --- words ---


def _title(stage: str, rows: Sequence[Mapping[str, Any]]) -> str:
    key, what = ("grpo/q", "Q on V") if stage == "grpo" else ("sft/loss", "The loss")
    ends = _ends(rows, key)
    if ends is None:
        return "Nothing was logged yet"
    first, last = (words.percent(value) if stage == "grpo" else words.number(float(f"{value:.3g}")) for value in ends)
    return f"{what} went from {first} to {last} in {words.plural(len(rows), 'step')}"


def _sentences(stage: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    said = []
    held = [row for row in rows if words.known(row.get("held_out/accuracy_full"))]
    if held:
        first, last = held[0], held[-1]
        on_degraded = last.get("held_out/accuracy_degraded")
        tail = f"; {words.percent(on_degraded, 1)} on V′" if words.known(on_degraded) else ""
        then, now = (words.percent(row["held_out/accuracy_full"], 1) for row in (first, last))
        said.append(f"Held-out accuracy on V: {then} after step {first['step'] + 1}, {now} after step {last['step'] + 1}{tail}.")
    if stage == "grpo" and (degraded := _ends(rows, "grpo/q_degraded")):
        said.append(f"Q on V′ went from {words.percent(degraded[0])} to {words.percent(degraded[1])}.")
    if stage == "sft" and (prefers := _ends(rows, "sft/text_prefers_v")):
        said.append(f"At the end the keywords are nearer to V than to V′ in {words.percent(prefers[1])} of a batch's clips.")
    return said


def _facts(run: Run, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> dict[str, str]:
    facts = {"status": run.status, "model": "/".join(Path(str(config.get("model", {}).get("path", ""))).parts[-2:]) or words.MISSING}
    if rows:
        facts |= {"steps": f"{rows[-1]['step'] + 1:,} of {config.get('steps', 0):,}", "time": words.seconds(rows[-1]["time_s"])}
        rate = _ends(rows, f"{run.stage}/clips_per_s")
        if rate:
            facts["clips a second"] = words.number(float(f"{rate[1]:.3g}"))
    rejected = len({row.get("sample_id") or row.get("path") for row in run.rejects()})
    return facts | {"rejected samples": f"{rejected:,}"}


def _changes(stage: str, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float, bool]]:
    """The scalars that tell how it went; with several tapped blocks, each block's."""
    found = []
    for panel in curve_panels({"run": rows}):
        base = panel.key.split("/", 1)[1]
        stem, _, block = base.rpartition("_b")
        if (stem if stem and block.isdigit() else base) in CHANGED[stage] and panel.key.startswith(f"{stage}/") and (ends := _ends(rows, panel.key)):
            found.append((panel.title, *ends, panel.percent))
    return found


def _notes(run: Run, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    if run.status != "finished":
        notes.append(f"The run is {run.status}, not finished: its numbers are those of the part done.")
    if run.stage == "grpo":
        notes.append("Q on V and on V′ are of the training questions, before refeed's answers replace the first ones on V only where they were drawn again.")
        notes.append("A policy can raise R = Q(V) − Q(V′) by getting worse on V′: watch both lines, and judge the model by held-out accuracy on V.")
    else:
        notes.append("Losses and alignment are of the training batches; only the held-out figures are of clips that are not trained on.")
    if not any(words.known(row.get("held_out/accuracy_full")) for row in rows):
        notes.append("No held-out accuracy was measured; held_out.every does that every so many steps.")
    titles = {panel.key: panel.title for panel in curve_panels({"run": rows})}
    fixed = [f"{titles[key]} {words.number(value)}" for key, value in _constant(rows).items() if key.split("/", 1)[1] not in HIDDEN]
    if fixed:
        notes.append(f"The same at every step, so not drawn: {words.listing(fixed, 20)}.")
    return notes


# --- numbers ---


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.asarray([row[key] for row in rows if isinstance(row.get(key), int | float) and math.isfinite(row[key])], dtype=float)


def _ends(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float] | None:
    """Means over the first and the last tenth of the values, None where there is none."""
    values = _values(rows, key)
    if not len(values):
        return None
    tenth = max(1, len(values) // 10)
    return float(values[:tenth].mean()), float(values[-tenth:].mean())


def _curves(stage: str, rows: Sequence[Mapping[str, Any]]) -> list[CurveGroup]:
    """V against V' first, then the groups of the stage; whatever else was logged comes last. What never changed is told in the notes."""
    panels = {panel.key: panel for panel in curve_panels({"run": rows}) if panel.key not in _constant(rows)}
    groups, pairs = [], [pair for pair in PAIRS if {pair[0], pair[1]} & panels.keys()]
    if pairs:
        series = {name: [_paired(row, pairs, side) for row in rows] for side, name in enumerate(("on V", "on V′"))}
        groups.append(CurveGroup("On V and on V′", series, [CurvePanel(f"pair/{title}", title, percent=True) for *_, title in pairs]))
        panels = {key: panel for key, panel in panels.items() if not any(key in pair for pair in pairs)}
    for title, names in GROUPS[stage]:
        chosen = [panel for name in names for key, panel in panels.items() if _is(key, stage, name)]
        if chosen:
            groups.append(CurveGroup(title, {"run": rows}, chosen))
            panels = {key: panel for key, panel in panels.items() if panel not in chosen}
    held = [panel for key, panel in panels.items() if key.startswith("held_out/")]
    rest = [panel for key, panel in panels.items() if not key.startswith("held_out/") and key.split("/", 1)[1] not in HIDDEN]
    groups += [CurveGroup("On held-out clips", {"run": rows}, held)] if held else []
    return groups + ([CurveGroup(OTHER, {"run": rows}, rest)] if rest else [])


def _paired(row: Mapping[str, Any], pairs: Sequence[tuple[str, str, str]], side: int) -> dict[str, Any]:
    return {"step": row["step"]} | {f"pair/{pair[2]}": row[pair[side]] for pair in pairs if pair[side] in row}


def _constant(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Scalars that had one value all the time, where there was time to change."""
    keys = dict.fromkeys(key for row in rows for key in row if "/" in key)
    values = {key: _values(rows, key) for key in keys}
    return {key: float(found[0]) for key, found in values.items() if len(found) > 2 and (found == found[0]).all()}


def _is(key: str, stage: str, name: str) -> bool:
    """Whether a logged key is the scalar, at any block."""
    prefix, base = key.split("/", 1)
    stem, _, block = base.rpartition("_b")
    return prefix == stage and (base == name or (stem == name and block.isdigit()))


def _phases(stage: str, rows: Sequence[Mapping[str, Any]]) -> list[Phase]:
    """Seconds by phase over all steps, from shares where these were logged; what no phase claims is the rest."""
    whole, phases = float(_values(rows, f"{stage}/step_s").sum()), []
    for title, name in PHASES[stage]:
        shares = [row[f"{stage}/{name}_share"] * row[f"{stage}/step_s"] for row in rows if f"{stage}/{name}_share" in row and f"{stage}/step_s" in row]
        seconds = float(sum(shares)) if shares else float(_values(rows, f"{stage}/{name}_s").sum())
        if seconds:
            phases.append(Phase(title, seconds))
    rest = whole - sum(phase.seconds for phase in phases)
    return [*phases, Phase("the rest", rest)] if phases and rest > 0.01 * whole else phases


def _rejects(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    reasons = Counter(str(row.get("reason", "no reason given")) for row in rows)
    instance = {str(row.get("reason", "no reason given")): str(row.get("sample_id") or row.get("path") or "unnamed") for row in rows}
    return [(reason, count, instance[reason]) for reason, count in reasons.most_common(20)]


# --- other files of the folder ---


def _samples(path: Path) -> list[SampledGroup]:
    """Questions that came up early and late, each at its first and its last time; the earliest and the latest groups where none came up twice."""
    rows, half = _lines(path), MAX_SAMPLES // 2
    times: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        times.setdefault((row["sample"], row["question"]), []).append(row)
    again = sorted((found for found in times.values() if len(found) > 1), key=lambda found: found[0]["step"] - found[-1]["step"])
    if again:
        return [_sampled(row) for found in again[:half] for row in (found[0], found[-1])]
    return [_sampled(row) for row in (rows if len(rows) <= MAX_SAMPLES else [*rows[:half], *rows[-half:]])]


def _sampled(row: Mapping[str, Any]) -> SampledGroup:
    tries = row.get("tries") or [0] * len(row["full"])
    full = [Told(text, quality, again) for text, quality, again in zip(row["full"], row["quality"], tries, strict=True)]
    degraded = [Told(text, quality) for text, quality in zip(row["degraded"], row["quality_degraded"], strict=False)]
    return SampledGroup(row["step"], row["sample"], row["question"], row["reference"], full, degraded)


def _warnings(stage: str, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> list[str]:
    """What stage 2 warned of while it ran, each kind where it first came up: found again from the scalars, as the stage did."""
    if stage != "grpo":
        return []
    drift, told = Drift(config.get("watch", {}).get("window", WatchConfig().window)), {}
    for row in rows:
        plain = {key.removeprefix("grpo/"): value for key, value in row.items()}
        for name, message in drift.see(plain).items():
            told.setdefault(name, f"Step {row['step']}: {message}.")
    return list(told.values())


def _versions(metadata: Mapping[str, Any]) -> dict[str, object]:
    return {name: metadata[name] for name in ("created", "git") if metadata.get(name)} | dict(metadata.get("versions", {}))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file, none where it is missing; a torn last line is not one.

    Raises:
        RunError: another line is damaged.
    """
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    except ValueError as error:
        raise RunError(f"{path}: a line is not JSON ({error}); remove the file, the report does without it") from error
