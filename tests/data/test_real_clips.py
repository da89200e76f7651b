"""Real clips with annotated events, where they lie beside this checkout: questions about them, checked, with a card."""

import json

from videoperceiver.config import load
from videoperceiver.data import build, manifest
from videoperceiver.stages import DataConfig

NAMES = ("mma_basketball.mp4", "intel_bottles.mp4", "sam2_cups.mp4", "asl_bird.mkv")


def test_annotated_events_become_questions_that_stand_the_rules(shared_dir, tmp_path):
    rows = {row["file"]: row for row in json.loads((shared_dir / "clips" / "manifest.json").read_text())}
    (tmp_path / "clips").mkdir()
    lines = []
    for name in NAMES:
        (tmp_path / "clips" / name).symlink_to(shared_dir / "clips" / name)
        lines.append({"file": name, "caption": rows[name]["description"], "events": rows[name]["events"]})
    (tmp_path / "clips" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    overrides = [f"source={tmp_path / 'clips'}", f"output={tmp_path / 'out'}", "annotate.method=templated", "relevance=motion", "max_frames=400"]
    run = build.run(load(DataConfig, None, [*overrides, "fps=1", "dense_fps=2", "runtime.num_workers=1"]))
    samples = manifest.read(run.folder / "manifest.parquet")
    assert {sample.id for sample in samples} == set(NAMES)
    assert run.rejects() == []
    asked = [question for sample in samples for question in sample.questions]
    assert len(asked) >= 2 * len(NAMES)
    assert len({question.family for question in asked}) >= 3
    for sample in samples:
        assert sample.tags["annotator"].startswith("templated@")
        assert sample.degradation is not None
        labels = {event["label"] for event in rows[sample.id]["events"]}
        assert {span.label for span in sample.spans} == labels
    assert "4 clips" in (run.folder / "index.html").read_text()
