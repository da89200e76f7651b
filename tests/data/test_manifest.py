"""Manifests: lossless round trips, refusals that name the row, confinement, streaming."""

import json
import os
import tracemalloc
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from videoperceiver.data import manifest
from videoperceiver.data.schema import arrow_schema
from videoperceiver.errors import ManifestError
from videoperceiver.types import BLANK, Degradation, Question, Sample, Span

PLAIN = Sample(id="a", video="clips/a b.mp4", sha256="0" * 64, split="train", source="lab", t_s=(0.0, 0.1, 0.30000000000000004))
FULL = replace(
    PLAIN,
    id="b é\n'\"",
    caption="the ball rolls…",
    questions=(Question("q1", "When?", "1.5 s", "time", "when"), Question("q2", "Which?", "A", "choice", "flash", ("A", "B"))),
    keywords=("ball rolls",),
    spans=(Span(0.1, 0.2, "roll"), Span(0.2, 0.2)),
    scores=(0.1, 1e-300, -0.7),
    keyframes_idx=(1,),
    degradation=Degradation("hold", (0, 0, BLANK), seed=2**62, residual=0.25, change=1 / 3, removed=False),
    event_share=(0.5, 0.05),
    seed=-3,
    tags={"cue": "agree", "": "x"},
    frame_fps=29.97,
)


@pytest.mark.parametrize("name", ["m.parquet", "m.jsonl"])
def test_round_trip_is_lossless(tmp_path, name):
    assert manifest.write([PLAIN, FULL], tmp_path / name) == 2
    assert manifest.read(tmp_path / name) == [PLAIN, FULL]
    assert list(tmp_path.iterdir()) == [tmp_path / name]  # no temporary left


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.floats(0, 1e6), unique=True, min_size=1, max_size=6).map(sorted),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    share=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
    tags=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.just("v"), max_size=3),
    suffix=st.sampled_from(["parquet", "jsonl"]),
)
def test_round_trip_of_any_values(tmp_path, times, text, share, tags, suffix):
    sample = replace(PLAIN, t_s=tuple(times), caption=text, keywords=(text,), scores=tuple(times), event_share=share, tags=tags)
    manifest.write([sample], tmp_path / f"m.{suffix}")
    assert manifest.read(tmp_path / f"m.{suffix}") == [sample]


def test_parquet_documents_itself(tmp_path):
    manifest.write([PLAIN], tmp_path / "m.parquet")
    schema = pq.read_schema(tmp_path / "m.parquet")
    assert schema.metadata[b"videoperceiver.schema_version"] == b"2"
    assert all(len(field.metadata[b"doc"]) > 10 for field in schema)


def test_jsonl_written_by_hand_needs_only_the_required_fields(tmp_path):
    row = {"id": "a", "video": "a.mp4", "sha256": "", "split": "test", "source": "me", "t_s": [0, 1], "spans": [{"start_s": 0, "end_s": 1}]}
    (tmp_path / "m.jsonl").write_text('{"schema_version": 1}\n' + json.dumps(row) + "\n\n")
    (sample,) = manifest.read(tmp_path / "m.jsonl")
    assert sample.spans == (Span(0.0, 1.0),)
    assert (sample.caption, sample.degradation, sample.tags) == ("", None, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "dev"}, "split is 'dev'"),
        ({"t_s": (0.0, 0.0)}, "not strictly increasing"),
        ({"t_s": (0.0, float("nan"))}, "not finite"),
        ({"scores": (1.0,)}, "scores has 1 entries"),
        ({"keyframes_idx": (3,)}, "keyframes_idx leaves"),
        ({"spans": (Span(2, 1),)}, "ends before it starts"),
        ({"questions": (Question("q", "?", "a", "essay", "f"),)}, "kind 'essay'"),  # type: ignore[arg-type]
        ({"questions": (Question("q", "?", "a", "word", "f"),) * 2}, "share an id"),
        ({"degradation": Degradation("hold", (0, 1))}, "source_idx"),
        ({"degradation": Degradation("hold", (0, 1, 3))}, "source_idx"),
        ({"video": "/etc/passwd"}, "'/etc/passwd'"),
        ({"video": "a/../../b.mp4"}, "relative"),
        ({"video": ""}, "relative"),
        ({"caption": 3}, "wrong type"),
        ({"seed": 2**63}, "wrong type"),
        ({"frame_fps": 0.0}, "frame_fps is 0.0"),
        ({"frame_fps": float("inf")}, "frame_fps is inf"),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_invalid_rows_are_refused_by_id(tmp_path, change, message, suffix):
    with pytest.raises(ManifestError, match="'a'") as caught:
        manifest.write([replace(FULL, id="ok"), replace(PLAIN, **change)], tmp_path / f"m.{suffix}")
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())  # nothing half written


def test_ids_are_unique(tmp_path):
    with pytest.raises(ManifestError, match="'a' occurs twice"):
        manifest.write([PLAIN, PLAIN], tmp_path / "m.jsonl")
    manifest.write([PLAIN], tmp_path / "m.jsonl")
    lines = (tmp_path / "m.jsonl").read_text().splitlines()
    (tmp_path / "m.jsonl").write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(ManifestError, match="occurs twice"):
        manifest.read(tmp_path / "m.jsonl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{}\n", "first line"),
        ('{"schema_version": 3}\n', "reads versions 1, 2"),
        ('{"schema_version": 1}\n[1]\n', "m.jsonl:2: got list"),
        ('{"schema_version": 1}\n{"id": "a"\n', "m.jsonl:2: not JSON"),
        ('{"schema_version": 1}\n{"id": "a", "vidoe": "b"}\n', "unknown field vidoe"),
        ('{"schema_version": 1}\n{"id": "a"}\n', "required field video"),
    ],
)
def test_malformed_jsonl_names_the_line(tmp_path, text, message):
    (tmp_path / "m.jsonl").write_text(text)
    with pytest.raises(ManifestError, match=message):
        manifest.read(tmp_path / "m.jsonl")


def test_malformed_parquet(tmp_path):
    path = tmp_path / "m.parquet"
    path.write_bytes(b"PAR1 no PAR1")
    with pytest.raises(ManifestError, match="not a readable Parquet"):
        manifest.read(path)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(ManifestError, match="schema version none"):
        manifest.read(path)
    pq.write_table(pa.table({"id": ["a"]}).replace_schema_metadata(arrow_schema().metadata), path)
    with pytest.raises(ManifestError, match="columns differ"):
        manifest.read(path)
    pq.write_table(pa.Table.from_pylist([{"id": "a"}], schema=arrow_schema()), path)
    with pytest.raises(ManifestError, match="missing or null"):
        manifest.read(path)
    with pytest.raises(ManifestError, match=r"\.parquet or \.jsonl"):
        manifest.read(tmp_path / "m.csv")
    with pytest.raises(ManifestError, match="absent"):
        manifest.read(tmp_path / "absent.jsonl")


def test_paths_stay_below_the_root(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"")
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "inside.mp4").symlink_to(root / "real.mp4")
    os.symlink("loop", root / "loop")
    manifest.write([replace(PLAIN, id=name, video=name) for name in ("link.mp4", "inside.mp4", "loop/x")], root / "m.jsonl")
    rows = manifest.Manifest(root / "m.jsonl")
    outside, inside, loop = list(rows)
    assert rows.resolve(inside) == manifest.resolve(root / "m.jsonl", inside) == root / "inside.mp4"
    with pytest.raises(ManifestError, match="outside"):
        rows.resolve(outside)
    with pytest.raises(ManifestError, match="cannot be resolved"):
        rows.resolve(loop)
    assert manifest.Manifest(root / "m.jsonl", allow_outside=True).resolve(outside) == root / "link.mp4"


def test_outside_paths_are_read_only_when_allowed(tmp_path):
    sample = replace(PLAIN, video="../a.mp4")
    manifest.write([sample], tmp_path / "m.parquet", allow_outside=True)
    with pytest.raises(ManifestError, match=r"\.\./a\.mp4"):
        manifest.read(tmp_path / "m.parquet")
    assert manifest.read(tmp_path / "m.parquet", allow_outside=True) == [sample]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_large_manifests_stream(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    manifest.write((replace(PLAIN, id=str(i), t_s=tuple(map(float, range(200)))) for i in range(1500)), path)
    next(iter(manifest.Manifest(path)))  # imports and schema
    tracemalloc.start()
    count = sum(1 for _ in manifest.Manifest(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1500
    assert peak < 8e6  # all rows at once hold 300,000 floats, 9.6 MB


def test_manifests_of_version_1_are_read_as_well(tmp_path):
    """They differ by the column `frame_fps`, whose default stands in."""
    path = tmp_path / "m.parquet"
    manifest.write([PLAIN, replace(FULL, frame_fps=None)], path)
    table = pq.read_table(path).drop(["frame_fps"])
    pq.write_table(table.replace_schema_metadata({b"videoperceiver.schema_version": b"1"}), path)
    assert manifest.read(path) == [PLAIN, replace(FULL, frame_fps=None)]
    pq.write_table(table.replace_schema_metadata({b"videoperceiver.schema_version": b"2"}), path)
    with pytest.raises(ManifestError, match="columns differ from schema version 2"):
        manifest.read(path)
