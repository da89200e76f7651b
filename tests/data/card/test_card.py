"""A data set's card: what it counts, that it says nothing it should not, and that the hub's loader reads the folder."""

import json
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCardData
from tests.data.made import QUESTIONS, TIMES, data_folder, samples, with_event
from tests.pages.hostile import HOSTILE

from videoperceiver.data import manifest
from videoperceiver.data.card import card_of, write_card
from videoperceiver.data.card.facts import Facts
from videoperceiver.data.card.papers import public, reasons
from videoperceiver.errors import ManifestError, RunError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = data_folder(tmp_path_factory.mktemp("card") / "my set")
    assert card_of(folder) == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(folder) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def readme(folder) -> tuple[dict, str]:
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def test_facts_are_counted():
    facts = Facts()
    for sample in samples():
        facts.add(sample)
    assert (facts.clips, facts.questions, facts.captions, facts.degraded) == (6, 8, 6, 4)
    assert {name: split.clips for name, split in facts.splits.items()} == {"train": 4, "validation": 1, "test": 1}
    assert (facts.checked, facts.removed, facts.rejected, facts.spans) == (4, 2, 1, 4)
    assert facts.media == {"video": 5, "image": 1}
    assert facts.families["order"].kinds == {"choice": 2}
    assert (facts.families["scenery"].static, facts.families["count"].questions) == (1, 2)
    assert (facts.durations.count, facts.durations.total, facts.durations.quantile(0.5)) == (5, 5 * 1.75, 1.75)
    assert (facts.share_before.mean, facts.share_after.mean, facts.rare_after) == (0.25, 0.125, 0)
    assert facts.replaced.quantile(1.0) == 0.125
    assert facts.annotators == {"templated@0123abcd": 1, "": 5}
    assert [sample.id for sample in facts.examples["made"]] == ["flash", "images", "held-out"]  # what left its event in V' comes last


def test_a_file_in_two_splits_is_told():
    facts = Facts()
    first = with_event("a", 1)
    for sample in (first, replace(first, id="b", split="test"), replace(first, id="c", split="validation"), with_event("d", 2, split="test")):
        facts.add(sample)
    assert facts.shared == 1


def test_the_page_is_whole_and_escapes_what_it_shows(page, check_page):
    check_page(page)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    for told in ("6 clips and 8 questions on brief events", "templated@0123abcd", "made: CC BY 4.0", "left out, not there: x.mp4", "leak", "tokens 34,567"):
        assert told in page, told
    assert len(re.findall(r'class="strip"', page)) == 3


def test_reject_reasons_that_differ_in_names_and_numbers_are_one(folder):
    first, second = reasons(folder / "rejects.jsonl")
    assert (first.text, first.count, first.instance) == ("frame 0 of '/home/me/v0' is broken", 3, "bad-0")
    assert (second.count, second.text) == (1, HOSTILE)
    assert [reason.count for reason in reasons(folder / "rejects.jsonl", limit=1)] == [3, 1]
    assert reasons(folder / "none.jsonl") == []


def test_places_of_the_machine_stay_there(page, readme):
    for text in (page, readme[1], str(readme[0])):
        assert "/home/me" not in text
        assert "http://inside" not in text
    assert "frame 0 of &#39;…/v0&#39; is broken" in page
    assert ">tvbench.npz<" in page


def test_public_messages():
    assert public("a.mp4 in '/home/me/x y/b.mp4' and /tmp/c") == "a.mp4 in '…/x y/b.mp4' and /tmp/c".replace("/tmp/c", "…/c")
    assert public("1/2 of and/or https://example.org/x/y, </b>") == "1/2 of and/or https://example.org/x/y, </b>"


def test_front_matter_is_what_the_hub_takes(readme):
    front, _ = readme
    assert DatasetCardData(**front).to_dict() == front
    assert (front["license"], front["language"]) == ("cc-by-4.0", ["en"])
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"] == ["visual-question-answering", "video-text-to-text"]
    [config] = front["configs"]
    assert config["data_files"] == [{"split": split, "path": f"splits/{split}.parquet"} for split in ("train", "validation", "test")]


def test_the_readme_says_the_same_without_markup_of_others(readme):
    _, text = readme
    assert text.startswith("\n# my set\n\n6 clips and 8 questions on brief events.\n")
    assert "<script" not in text.replace("\\<script", "")
    assert "| order | 2 | 2 |" in text
    assert "\x1b" not in text
    assert "A few clips" not in text  # pictures are on the page alone


OTHER = {"license": "other", "license_name": "terms-of-its-sources", "license_link": "README.md"}


@pytest.mark.parametrize(
    ("terms", "sources", "licence"),
    [
        ("HMDB51: CC BY 4.0 (Kuehne)", ["a", "b"], {"license": "cc-by-4.0"}),
        ("", ["a"], {"license": "unknown"}),
        ("CelebV-HQ: non-commercial research only", ["a"], OTHER),
        ("", ["hmdb51", "hmdb51"], {"license": "cc-by-4.0"}),  # rows of a manifest whose source we know by name
        ("", ["hmdb51", "celebv_hq"], OTHER),
        ("", ["hmdb51", "a"], OTHER),
    ],
)
def test_one_licence_only_where_all_sources_have_it(tmp_path, terms, sources, licence):
    (tmp_path / "source.json").write_text(json.dumps({"terms": terms}))
    rows = [replace(with_event(str(i), 1, source=source), degradation=None) for i, source in enumerate(sources)]
    manifest.write(rows, tmp_path / "manifest.parquet")
    card_of(tmp_path)
    front = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    assert {name: value for name, value in front.items() if name.startswith("license")} == licence


def test_datasets_loads_the_folder(folder, tmp_path):
    import datasets

    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: rows.num_rows for name, rows in loaded.items()} == {"train": 4, "validation": 1, "test": 1}
    row, expected = loaded["train"][0], samples()[0]
    assert (row["id"], row["caption"], tuple(row["t_s"])) == (expected.id, expected.caption, TIMES)
    assert [question["text"] for question in row["questions"]] == [question.text for question in QUESTIONS]
    assert row["questions"][0]["options"] == list(QUESTIONS[0].options)
    assert row["tags"] == [{"key": "annotator", "value": "templated@0123abcd"}]
    assert tuple(row["degradation"]["source_idx"]) == expected.degradation.source_idx
    assert loaded["train"][3]["degradation"] is None
    assert loaded["test"][0]["frame_fps"] == 4.0


def test_a_card_written_again_forgets_the_splits_that_are_gone(tmp_path):
    folder = data_folder(tmp_path / "set")
    card_of(folder)
    manifest.write([sample for sample in samples() if sample.split == "train"], folder / "manifest.parquet")
    write_card(folder / "manifest.parquet", folder)
    assert [path.name for path in sorted((folder / "splits").iterdir())] == ["train.parquet"]
    assert "test.parquet" not in (folder / "README.md").read_text()


def test_a_readme_of_ones_own_is_not_replaced(tmp_path):
    manifest.write([replace(with_event("a", 1), degradation=None)], tmp_path / "manifest.parquet")
    card_of(tmp_path)
    card_of(tmp_path)  # its own it replaces
    written = (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text(written[: written.rindex("<!--")] + "My words.\n")
    with pytest.raises(RunError, match=r"README\.md: this file was not written by a card, or is kept"):
        card_of(tmp_path)
    assert (tmp_path / "README.md").read_text().endswith("My words.\n")


def test_what_cannot_be_shown_or_read_is_told(tmp_path):
    folder = data_folder(tmp_path / "set")
    (folder / "media" / "flash.mp4").write_bytes(b"no video")
    page = card_of(folder).read_text()
    assert "flash is not shown:" in page
    assert page.count('class="strip"') == 3  # the next one takes its place
    with pytest.raises(ManifestError, match=r"nothing: no such folder; expected the folder of a finished `videoperceiver data build`"):
        card_of(tmp_path / "nothing")
    with pytest.raises(ManifestError, match=r"manifest\.parquet is not in it"):
        card_of(tmp_path)
    with pytest.raises(ManifestError, match="this is a file"):
        card_of(folder / "result.json")
    manifest.write([], folder / "manifest.parquet")
    with pytest.raises(ManifestError, match="it has no row"):
        card_of(folder)


@pytest.mark.parametrize("name", ["result.json", "source.json", "rejects.jsonl", "dropped.jsonl"])
@pytest.mark.parametrize("content", ["{broken\n", "[1, 2]\n"])
def test_a_damaged_paper_is_named(tmp_path, name, content):
    manifest.write([replace(with_event("a", 1), degradation=None)], tmp_path / "manifest.parquet")
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=re.escape(name)):
        card_of(tmp_path)


def test_memory_does_not_grow_with_the_rows():
    def peak(rows: int) -> int:
        facts = Facts()
        tracemalloc.start()
        for i in range(rows):
            facts.add(with_event(f"{i}", 1 + i % 6, source=f"source {i}", questions=(replace(QUESTIONS[0], family=f"family {i}"),)))
        _, used = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return used

    small = peak(1_500)
    assert peak(6_000) < 1.5 * small
