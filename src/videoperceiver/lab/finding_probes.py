"""What the probes saw inside the models, as a section of the findings."""

from collections.abc import Sequence

from videoperceiver.lab.finding_words import Picture, Section, Table
from videoperceiver.lab.plots import Mark, rows_plot

FIGURES = {
    "t2v_r1": "keywords find their clip among 200 (R@1)",
    "text_prefers_v": "keywords prefer V to V'",
    "margin_degraded": "cos(T, V) − cos(T, V')",
    "presence_b0": "event presence, embeddings",
    "presence_b2": "event presence, block 2",
    "presence_b4": "event presence, block 4",
    "attention_b2": "attention on the pop, block 2",
    "attention_b4": "attention on the pop, block 4",
}
"""Probe -> its name in the table."""
PLOTTED = {"t2v_r1": "retrieval", "text_prefers_v": "alignment", "margin_degraded": "margin", "presence_b2": "presence", "attention_b2": "attention"}
"""Probe -> the file of its plot."""


def probes_section(lines: Sequence[dict]) -> Section:
    """Representation probes: means over seeds by model, and plots with a dot a seed."""
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    by_arm = {arm: [line for line in lines if line["arm"] == arm] for arm in arms}
    rows = [(arm, str(len(found)), *(f"{_mean(found, key):.3f}".replace("-", "\u2212") for key in FIGURES)) for arm, found in by_arm.items()]
    note = (
        "Presence: area under the curve of a linear probe, fitted on 100 clips and scored on 100 others, for whether a temporal patch shows an event"
        " (.5 is chance). Attention: what the prompt's last token gives the pop's patch, over an equal share (1 is no preference). All on clips whose cues"
        " say nothing."
    )
    table = Table("Inside the models: means over seeds", ("model", "seeds", *FIGURES.values()), tuple(rows))
    pictures = [_probe_plot(by_arm, key, f"lab-probe-{file}.svg") for key, file in PLOTTED.items()]
    return Section("Inside the models", (note, table, *pictures))


def _probe_plot(by_arm: dict[str, list[dict]], key: str, file: str) -> Picture:
    marks = [Mark(arm, _mean(found, key), dots=tuple(line[key] for line in found)) for arm, found in by_arm.items()]
    picture = rows_plot(marks, title=FIGURES[key], axis=f"{FIGURES[key]}; small dots are seeds", zero=key == "margin_degraded")
    return Picture(file, picture, f"{FIGURES[key]}, by model.")


def _mean(lines: Sequence[dict], key: str) -> float:
    return sum(line[key] for line in lines) / len(lines)
