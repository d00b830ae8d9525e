"""The commands that show: where a project stands, the demo, the recipes. The work is in commands/, imported only when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from a2d_cli.cli.options import Json, Overwrite, Set, overrides_of, print_one, stop_at_once, typed
from a2d_cli.console import make_reporter, print_json, print_table
from a2d_cli.project.project import Project


def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what is done, what comes next, and where things are."""
    from a2d_cli.commands import status as command

    report = command.project_status(context.obj)
    if as_json:
        print_json(report.to_json())
    else:
        print_table(f"project {report.folder}", ["what", "state", "where"], report.rows(), report.note)


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A new folder for the demo's project.")] = Path("a2d-demo"),
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Go the whole way in a few minutes, on an embedded corpus.

    A teacher, a plain student, a distilled student, its int8 export, and a table of their scores.
    """
    from a2d_cli.commands import demo as command

    try:
        result = command.demo(Project(context.obj.folder / folder), overrides_of(settings), typed(), make_reporter())
    except KeyboardInterrupt:
        stop_at_once(typed())
    if as_json:
        print_json(result.to_json())
        return
    print_one(result.scores)
    print()
    print_one(result.samples)
    print()
    print(f"The project is {folder}. Try: echo 'Der Hund schläft.' | a2d -C {folder} translate")


def recipes_list(as_json: Json = False) -> None:
    """Names, languages and sizes."""
    from a2d_cli.commands import recipes as command

    found = command.list_recipes()
    if as_json:
        print_json([{"name": each.name, "pair": each.pair, "about": each.about} for each in found])
    else:
        print_table("recipes", ["name", "pair", "about"], [(each.name, each.pair, each.about) for each in found])


def recipes_show(name: Annotated[str, typer.Argument(help="Of a recipe.")]) -> None:
    """Print a recipe with its comments."""
    from a2d_cli.commands import recipes as command

    typer.echo(command.show_recipe(name), nl=False)


def recipes_copy(
    name: Annotated[str, typer.Argument(help="Of a recipe.")],
    destination: Annotated[Path | None, typer.Argument(help="File or folder (default: here).")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a recipe here to edit it: a2d prepare ./NAME.yaml."""
    from a2d_cli.commands import recipes as command

    typer.echo(command.copy_recipe(name, destination, overwrite))
