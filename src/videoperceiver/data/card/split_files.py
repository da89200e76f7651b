"""The manifest a second time, a Parquet file a split, as `datasets.load_dataset` reads it.

`datasets` knows no map type (https://huggingface.co/docs/datasets/about_dataset_features), which the manifest's column `tags` has, and takes its splits
from files. So the rows are written once more, split by split, with `tags` as a list of {key, value}; pixels are in neither.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from videoperceiver.data.manifest import SPLITS
from videoperceiver.data.schema import arrow_schema, to_batch, to_row
from videoperceiver.types import Sample

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "splits"
_GROUP_ROWS = 1024


def split_files(samples: Iterable[Sample], folder: Path) -> Iterator[Sample]:
    """Passes samples on, and writes each to its split's file on the way; files appear whole when the last sample has passed.

    Args:
        samples: rows of a manifest.
        folder: of the data set; files go to its `splits/`, those of splits that are gone are removed.

    Raises:
        OSError: they cannot be written.
    """
    import pyarrow.parquet as pq

    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    waiting: dict[str, list[Sample]] = {}
    parts = {split: target / f".{split}.parquet.part" for split in SPLITS}
    try:
        with ExitStack() as stack:
            writers: dict[str, pq.ParquetWriter] = {}

            def flush(split: str) -> None:
                if split not in writers:
                    writers[split] = stack.enter_context(pq.ParquetWriter(parts[split], _schema(), compression="zstd"))
                writers[split].write_batch(_batch(waiting.pop(split)))

            for sample in samples:
                waiting.setdefault(sample.split, []).append(sample)
                if len(waiting[sample.split]) == _GROUP_ROWS:
                    flush(sample.split)
                yield sample
            for split in list(waiting):
                flush(split)
        for split, part in parts.items():
            final = target / f"{split}.parquet"
            part.replace(final) if split in writers else final.unlink(missing_ok=True)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _schema() -> "pa.Schema":
    import pyarrow as pa

    schema = arrow_schema().remove_metadata()
    place = schema.get_field_index("tags")
    return schema.set(place, pa.field("tags", pa.list_(pa.struct({"key": pa.string(), "value": pa.string()}))))


def _batch(samples: list[Sample]) -> "pa.RecordBatch":
    import pyarrow as pa

    batch = to_batch([to_row(sample) for sample in samples], FOLDER)
    tags = batch.column("tags")
    pairs = pa.ListArray.from_arrays(tags.offsets, pa.StructArray.from_arrays([tags.keys, tags.items], ["key", "value"]))
    columns = [pairs if name == "tags" else batch.column(name) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=_schema())
