"""The lab from the shell: run a study's arms, check that a row is reproduced, write the finding."""

from pathlib import Path
from typing import Annotated

import typer

from videoperceiver.cli.boundary import INTERRUPTED, app, say

lab = typer.Typer(no_args_is_help=True, help="Controlled experiments on rendered events: what each ingredient of the method does.")
app.add_typer(lab, name="lab")

Recipe = Annotated[Path, typer.Argument(help="YAML file of a study, e.g. recipes/lab/quick.yaml.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Fields that replace the recipe's, e.g. num_seeds=3.", show_default=False)]


@lab.command("ablate")
def ablate(
    recipe: Recipe,
    overrides: Overrides = None,
    arm: Annotated[list[str] | None, typer.Option(help="Run this arm and what it starts from only; may be given several times.", show_default=False)] = None,
    check: Annotated[str, typer.Option(help="Run this arm again with --seed and compare it with its row, bit for bit.", show_default=False)] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of --check.")] = 0,
) -> None:
    """Run every arm of a study on every seed; stopped at any time, the same command continues."""
    from videoperceiver.config import load
    from videoperceiver.lab.study import StudyConfig

    config = load(StudyConfig, recipe, overrides or ())
    from videoperceiver.lab import ablate as study

    if check:
        differing = study.check(config, check, seed)
        typer.echo(f"{check}, seed {seed}: " + (f"differs from its row in {', '.join(differing)}" if differing else "the row is reproduced bit for bit"))
        raise typer.Exit(1 if differing else 0)
    try:
        path = study.run(config, arm or ())
    except KeyboardInterrupt:
        say(f"Interrupted. Finished arms stay in {config.output}; the same command continues.", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"rows {path}")


@lab.command("probe")
def probe(
    recipe: Recipe,
    overrides: Overrides = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Model to look into; may be given several times. [default: backbone and all arms]", show_default=False)
    ] = None,
    clips: Annotated[int, typer.Option(min=4, help="To look at.")] = 200,
) -> None:
    """Look inside the trained models: keywords against clips, a linear probe for event presence, attention on the event."""
    from videoperceiver.config import load
    from videoperceiver.lab.study import BACKBONE, StudyConfig

    config = load(StudyConfig, recipe, overrides or ())
    from videoperceiver.lab.probes import run

    typer.echo(f"probes {run(config, arm or [BACKBONE, *config.arms], config.seeds(), num_clips=clips)}")


@lab.command("report")
def report(
    recipe: Recipe,
    overrides: Overrides = None,
    rows: Annotated[Path | None, typer.Option(help="File of rows. [default: rows.jsonl in the study's folder]", show_default=False)] = None,
    probes: Annotated[Path | None, typer.Option(help="File of probes, of `lab probe`.", show_default=False)] = None,
    docs: Annotated[Path, typer.Option(help="Folder that gets findings.md, findings.html and images/.")] = Path("docs"),
) -> None:
    """Judge a study's claims by its rows and write the page; what is missing is said, never guessed."""
    from videoperceiver.config import load
    from videoperceiver.lab.study import StudyConfig

    config = load(StudyConfig, recipe, overrides or ())
    from videoperceiver.lab.finding_page import write
    from videoperceiver.lab.finding_probes import probes_section
    from videoperceiver.lab.probes import read as read_probes
    from videoperceiver.lab.rows import read

    extra = [probes_section(read_probes(probes))] if probes else []
    for path in write(config, read(rows or Path(config.output) / "rows.jsonl"), docs, extra):
        typer.echo(f"wrote {path}")
