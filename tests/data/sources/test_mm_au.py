"""MM-AU: two sheets of different column orders, folders of frames, a rate that must be given."""

import csv

import pytest
from tests.data.sources.conftest import seen

from videoperceiver.data.sources.mm_au import clean
from videoperceiver.errors import ManifestError, MissingExtraError
from videoperceiver.types import Span

SHARED = ("video", "type", "whether an accident occurred (1/0)", "abnormal start frame")
CAP = (*SHARED, "abnormal end frame", "accident frame", "total frames", "texts", "causes")
DADA = (*SHARED, "accident frame", "abnormal end frame", "total frames", "texts", "causes")
CAP_ROWS = [("000001", 10, 1, 18, 50, 34, 50, "[CLS]a vehicle\xa0goes straight[SEP]", "no time to brake"), ("000012", 62, 1, 1, 20, 1, 20, "x", "")]
DADA_ROWS = [("001", 1, 1, 3, 6, 11, 12, "[CLS]a pedestrian crosses the road[SEP]   ", "Pedestrian does not notice"), ("011", 1, 0, 2, -1, 4, 6, "y", "")]


def workbook(path, sheet, header, rows):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "texts"
    table = book.create_sheet(sheet)
    for row in (header, *rows):
        table.append(row)
    book.save(path)


def table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def copy(put, tmp_path):
    put("CAP-DATA/1-10/10/000001/images", frames=50)
    put("CAP-DATA/44-62/62/000012/images", frames=12)  # half unpacked
    put("DADA-DATA/1/001/images", frames=12, digits=4, suffix=".png")
    put("DADA-DATA/1/011/images", frames=6, digits=4, suffix=".png")
    workbook(tmp_path / "copy" / "dada_text_annotations.xlsx", "Sheet1", DADA, DADA_ROWS)
    table(tmp_path / "copy" / "cap_text_annotations.csv", CAP, CAP_ROWS)
    return tmp_path / "copy"


def test_both_sheets_are_read_by_their_headers(copy, request_of):
    found = seen(request_of(frame_fps=10), "mm_au")
    cap, dada, quiet = (sample for sample, _ in found.clips)
    assert cap.id == "CAP-DATA/1-10/10/000001/images"
    assert cap.spans == (Span(1.7, 4.9, "a vehicle goes straight"),)
    assert cap.caption == "a vehicle goes straight. no time to brake"
    assert cap.tags == {"type": "10", "part": "cap", "accident_s": "3.300"}
    assert dada.spans == (Span(0.2, 1.0, "a pedestrian crosses the road"),)
    assert dada.tags["accident_s"] == "0.500"
    assert (quiet.spans, "accident_s" in quiet.tags) == ((), False)  # no accident, its frame unknown
    assert {sample.frame_fps for sample, _ in found.clips} == {10}
    assert "2 rows in cap_text_annotations.csv; the published release has 9,768" in found.notes
    assert "left out, half unpacked: CAP-DATA/44-62/62/000012/images (12 of 20 frames)" in found.notes


def test_the_rate_must_be_given(copy, request_of):
    with pytest.raises(ManifestError, match="nothing states their rate; set frame_fps"):
        seen(request_of(), "mm_au")


def test_bad_rows_are_named(copy, request_of):
    table(copy / "cap_text_annotations.csv", CAP, [("000001", 10, 1, 40, 30, 34, 50, "", "")])
    with pytest.raises(ManifestError, match="row 2: frames 40, 34, 30 of 50; expected start <= accident <= end <= total"):
        seen(request_of(frame_fps=10), "mm_au")
    table(copy / "cap_text_annotations.csv", CAP, [("000001", 10, 1, "soon", 30, 34, 50, "", "")])
    with pytest.raises(ManifestError, match="'abnormal start frame' holds 'soon'"):
        seen(request_of(frame_fps=10), "mm_au")
    table(copy / "cap_text_annotations.csv", CAP, [("000001", 70, 1, 1, 30, 4, 50, "", "")])
    with pytest.raises(ManifestError, match="accident type 70, expected 1 to 62"):
        seen(request_of(frame_fps=10), "mm_au")


def test_workbooks_without_their_reader_name_the_command(copy, request_of, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'videoperceiver\[sources\]'"):
        seen(request_of(frame_fps=10), "mm_au")


def test_cells_are_cleaned():
    assert clean("[CLS]vehicles\xa0meet  on the road[SEP]  ") == "vehicles meet on the road"
    assert clean(None) == ""


def test_the_released_sheets_are_read(shared_dir, put, request_of, tmp_path):
    """Heads of the real sheets, with stand-in frames for their first rows."""
    samples = shared_dir / "samples" / "mm_au"
    put("CAP-DATA/1-10/10/000001/images", frames=50)
    put("DADA-DATA/1/001/images", frames=440, digits=4)
    (tmp_path / "copy" / "cap_text_annotations.xls").write_bytes((samples / "cap_text_annotations.head.xls").read_bytes())
    (tmp_path / "copy" / "dada_text_annotations.xlsx").write_bytes((samples / "dada_text_annotations.head.xlsx").read_bytes())
    cap, dada = (sample for sample, _ in seen(request_of(frame_fps=25), "mm_au").clips)
    assert cap.spans[0].label == "a vehicle goes straight at signalized junctions"
    assert (cap.spans[0].start_s, cap.spans[0].end_s, cap.tags["accident_s"]) == (17 / 25, 49 / 25, "1.320")
    assert (dada.spans[0].start_s, dada.spans[0].end_s, dada.tags["accident_s"]) == (29 / 25, 114 / 25, "2.480")
