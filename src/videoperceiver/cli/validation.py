"""`videoperceiver data validate` and `data index`: a manifest under the rules, and what a benchmark's videos show."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from videoperceiver.cli.boundary import say
from videoperceiver.cli.rules import blind_table, rules_table
from videoperceiver.cli.stages import data

_SHOWN = 5


@data.command("validate")
def data_validate(
    manifest: Annotated[Path, typer.Argument(help="A manifest, of a data build or your own.", show_default=False)],
    language: Annotated[str, typer.Option(help="Of captions and questions: en, zh or any.")] = "en",
) -> None:
    """Hold a manifest's captions, questions and events against the rules, and say what can be guessed without looking. Nothing is changed."""
    from rich.console import Console

    from videoperceiver.data.manifest import Manifest
    from videoperceiver.data.validate import Dropped, rule_table, validate
    from videoperceiver.data.validate.balance import balance
    from videoperceiver.data.validate.blind import blind_probe
    from videoperceiver.errors import ConfigError
    from videoperceiver.stages import ValidateConfig

    if language not in ("en", "zh", "any"):
        raise ConfigError(f"--language is {language!r}; expected en, zh or any")
    config, kept, dropped = ValidateConfig(language=language), Counter[str](), list[Dropped]()
    for sample in Manifest(manifest):
        stood, fallen = validate(sample, end_s(sample.t_s), config)
        dropped += fallen
        kept.update({"caption": bool(stood.caption), "question": len(stood.questions), "span": len(stood.spans)})
    console = Console()
    console.print(rules_table([vars(row) for row in rule_table(dropped, kept, config)]))
    for note in balance(Manifest(manifest)).notes:
        console.print(f"uneven: {note}", markup=False, soft_wrap=True)
    console.print(blind_table(blind_probe(Manifest(manifest))))


def end_s(t_s: Sequence[float]) -> float:
    """When the last of some frames is over; infinite where no times are known."""
    return t_s[-1] + (t_s[-1] - t_s[0]) / max(len(t_s) - 1, 1) if t_s else math.inf


@data.command("index")
def data_index(
    folder: Annotated[Path, typer.Argument(help="A benchmark's videos, in any layout; folders of images too.", show_default=False)],
    output: Annotated[Path, typer.Option(help="The index, an .npz file; a journal of what was read lies beside it.", show_default=False)],
    num_workers: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 2,
    deadline_s: Annotated[float, typer.Option(min=0.1, help="Seconds a video may take.")] = 120.0,
) -> None:
    """Hash a benchmark's videos, so that `data build` can leave out training clips that show the same.

    Name the file under validate.benchmark_index of the data recipe, with validate.decontaminate: drop or mark. Run again, it reads only what is new.
    """
    from videoperceiver.data.benchmark_index import index_folder, videos_below
    from videoperceiver.pages.words import one_line, plural
    from videoperceiver.progress import stage_progress

    with stage_progress(f"index · {folder.name}", len(videos_below(folder))) as advance:
        made = index_folder(folder, output, num_workers=num_workers, deadline_s=deadline_s, advance=advance)
    typer.echo(f"{plural(made.videos, 'video')} with {made.frames:,} hashes in {output} ({made.read:,} read now)")
    for name, reason in made.unreadable[:_SHOWN]:
        say(f"not in it: {name}: {one_line(reason)}", style="yellow")
    if len(made.unreadable) > _SHOWN:
        say(f"and {len(made.unreadable) - _SHOWN:,} more that cannot be read; all are in {output}.jsonl", style="yellow")
    if made.blank:
        say(f"{plural(len(made.blank), 'video')} in it show hardly anything and can match nothing: {', '.join(made.blank[:_SHOWN])}", style="yellow")
