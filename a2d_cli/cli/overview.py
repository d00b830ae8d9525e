"""The commands that show: inspect, report, status, the demo, the recipes.

The work is in commands/, imported only when a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from a2d_cli.cli.options import (
    Device,
    Json,
    Overwrite,
    Set,
    check_choice,
    overrides_of,
    print_all,
    print_one,
    stop_at_once,
    typed,
)
from a2d_cli.console import make_reporter, print_json, print_table
from a2d_cli.errors import ConfigError
from a2d_cli.project.project import Project


def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what is done, what comes next, and where things are."""
    from a2d_cli.commands import status as command

    report = command.project_status(context.obj)
    if as_json:
        print_json(report.to_json())
    else:
        print_table(f"project {report.folder}", ["what", "state", "where"], report.rows(), report.note)


def inspect_run(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="Run name or run folder (default: the finished one that is best by validation)."
        ),
    ] = None,
    sentence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Show attention maps of this source sentence.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its translation (default: the student's own).")
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help="Attention to show: encoder_self, decoder_self or cross. Repeatable."
        ),
    ] = None,
    heads: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="LAYER.HEAD", help="Teacher head to show, or best, or worst. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder of the pictures (default: the run's inspection/)."),
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="Picture format: svg or png.")] = "svg",
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Show which student heads correspond to which teacher heads.

    Shares of student heads, distances to the teacher's attention on validation text, and pictures of both.

    Examples: a2d inspect
              a2d inspect a2d-diagonal --sentence "Der Hund schläft."
    """
    from a2d_cli.commands import inspect_run as command
    from a2d_cli.commands.inspect_figure import FORMATS, missing_package, write_figures

    check_choice("--format", form, FORMATS)
    if sentence is None and (target is not None or kinds or heads):
        raise ConfigError("--target, --kind and --head go with --sentence", 'add --sentence "…"')
    problem, reporter = missing_package(), make_reporter()
    if problem and output:
        raise problem
    request = (
        None if sentence is None else command.SentenceRequest(sentence, target, tuple(kinds or ()), tuple(heads or ()))
    )
    inspection = command.inspect_run(context.obj, run, request, device or "auto", reporter)
    pictures: list[Path] = []
    if problem:
        reporter.info(f"no pictures: {problem.message} ({problem.hint})")
    else:
        pictures = write_figures(inspection, output, form)
    print_all(inspection.tables(), {**inspection.to_json(), "pictures": [str(path) for path in pictures]}, as_json)
    if pictures and not as_json:
        print("\npictures:", *pictures, sep="\n")


def report(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The file to write (default: the project's report.html)."),
    ] = None,
    alignment: Annotated[
        bool,
        typer.Option(
            "--alignment/--no-alignment",
            help="Measure and draw the alignment of the best finished run.",
        ),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help='Print the path of the page as JSON: {"report": FILE}.')
    ] = False,
) -> None:
    """Write a report of the project: one HTML file.

    Data, models, learning curves, comparison, alignment, translations, environment, hashes and commands. For what is
    missing it names the command that makes it.

    Examples: a2d report
              a2d report -o paper/appendix.html --no-alignment
    """
    from a2d_cli.commands import report as command

    path = command.report(context.obj, output, alignment, make_reporter())
    if as_json:
        print_json({"report": str(path)})
    else:
        print(path)


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the demo's project.")] = Path(
        "a2d-demo"
    ),
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline on generated text, in minutes.

    Trains a teacher, a plain student and a distilled student, exports that to int8, and scores them all.
    """
    from a2d_cli.commands import demo as command

    project = Project(context.obj.folder / folder)
    try:
        result = command.demo(project, overrides_of(settings), typed(), make_reporter())
    except KeyboardInterrupt:
        stop_at_once(typed())
    if as_json:
        print_json(result.to_json())
        return
    print_one(result.scores)
    print()
    print_one(result.samples)
    print()
    print(f"Try: echo 'Der Hund schläft.' | {project.command('translate')}")


def recipes_list(as_json: Json = False) -> None:
    """List them: names, languages and sizes."""
    from a2d_cli.commands import recipes as command

    found = command.list_recipes()
    if as_json:
        print_json([{"name": each.name, "pair": each.pair, "about": each.about} for each in found])
    else:
        print_table("recipes", ["name", "pair", "about"], [(each.name, each.pair, each.about) for each in found])


def recipes_show(name: Annotated[str, typer.Argument(metavar="NAME", help="A recipe of 'a2d recipes list'.")]) -> None:
    """Print a recipe with its comments."""
    from a2d_cli.commands import recipes as command

    typer.echo(command.show_recipe(name), nl=False)


def recipes_copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recipe of 'a2d recipes list'.")],
    destination: Annotated[
        Path | None, typer.Argument(metavar="FILE|DIR", help="Where to write it (default: here).")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Copy a recipe to edit it; then: a2d prepare ./NAME.yaml"""
    from a2d_cli.commands import recipes as command

    typer.echo(command.copy_recipe(name, destination, overwrite))
