"""The `a2d` command: its commands in the order of the help, and errors to exit codes."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from a2d_cli.cli import deployment, overview, training
from a2d_cli.console import print_error
from a2d_cli.errors import A2DError, ConfigError, Interrupted
from a2d_cli.files import explain_disk_error
from a2d_cli.project.project import Project
from a2d_cli.training.interruption import ENDS_WITH_PARENT, end_with_parent

OWN_FILES = ("--train", "--valid", "--test")
WITHOUT_FOLDER = ("prepare", "import", "demo", "recipes")  # the others look into a project that is there

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Distil a big translation model into a small, fast one (Align-to-Distill).",
    epilog=(
        "Start with 'a2d demo'. Your own model: prepare, train-teacher, distill, score, export, translate; "
        "'a2d status' says what comes next."
    ),
)
recipes_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The recipes that come with a2d.")
app.add_typer(recipes_app, name="recipes")


def _help(command: Callable[..., None]) -> str:
    """Its docstring, whose examples keep their lines: a backspace tells click so."""
    return inspect.cleandoc(command.__doc__ or "").replace("\n\nExample", "\n\n\b\nExample")


for _name, _command in {
    "prepare": training.prepare,
    "import": training.import_model,
    "train-teacher": training.train_teacher,
    "distill": training.distill,
    "pseudo": training.pseudo,
    "translate": deployment.translate,
    "score": deployment.score,
    "export": deployment.export,
    "bench": deployment.bench,
    "compare": training.compare,
    "inspect": overview.inspect_run,
    "report": overview.report,
    "status": overview.status,
    "demo": overview.demo,
}.items():
    _extra = {"allow_extra_args": _name == "translate"}  # which says itself how a file is named
    app.command(_name, help=_help(_command), context_settings=_extra)(_command)
for _name, _command in {
    "list": overview.recipes_list,
    "show": overview.recipes_show,
    "copy": overview.recipes_copy,
}.items():
    recipes_app.command(_name)(_command)


def main() -> NoReturn:
    """Run the command line; a user's mistake ends in one message and an exit code, never in a traceback."""
    # Threads that spin while they wait starve each other where cores are shared: a step then takes 20 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _make_streams_usable()
    if ENDS_WITH_PARENT in os.environ:
        end_with_parent()
    try:
        check_order(sys.argv[1:])
        sys.argv[1:] = single_files(sys.argv[1:])
        app(prog_name="a2d")  # exits by itself, with 130 on Ctrl-C
    except Interrupted as stop:
        print(f"stopped; what is saved goes on with: {stop.hint}", file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except Exception as error:
        explained = explain(error)
        if explained is None or os.environ.get("A2D_DEBUG"):
            raise
        print_error(explained)
        if isinstance(error, OSError) and error.filename is None:  # stdout itself, whose rest would fail again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(explained.exit_code)
    sys.exit(0)


def _make_streams_usable() -> None:
    """Also where a caller has closed them, or where the locale's encoding has no Δ."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the process ends
        getattr(sys, name).reconfigure(errors="backslashreplace")


def explain(error: Exception) -> A2DError | None:
    """What went wrong, in words for the person at the keyboard; None: a bug of ours, to be seen in full."""
    if isinstance(error, A2DError):
        return error
    if isinstance(error, OSError):
        path = Path(error.filename or _stdout_path())
        return explain_disk_error(error, path) or A2DError(f"{path}: {error.strerror or error}")
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        shown = ascii(error.object[max(0, error.start - 40) : error.end + 40])
        return A2DError(f"{shown}: not UTF-8", "rename the file or folder, or write the text in UTF-8")
    if isinstance(error, (MemoryError, RuntimeError)):
        from a2d_cli.training.memory import is_out_of_memory

        if is_out_of_memory(error):
            what = str(error).partition("\n")[0]
            return A2DError(
                f"out of memory: {what}",
                "smaller batches: --set decoding.batch_sentences=N (translate: --batch-size N)",
            )
    return None


def _stdout_path() -> str:
    """The file that stdout is written to, where the system tells its name (Linux)."""
    try:
        return os.readlink("/proc/self/fd/1")
    except OSError:
        return "standard output"


def check_order(arguments: list[str]) -> None:
    """Refuse -C behind the command: it is an option of `a2d` itself.

    Raises:
        ConfigError: says where it belongs.
    """
    names = {*(command.name for command in app.registered_commands), *(group.name for group in app.registered_groups)}
    position = next((i for i, argument in enumerate(arguments) if argument in names), len(arguments))
    late = next((each for each in arguments[position + 1 :] if each.partition("=")[0] in ("-C", "--project")), None)
    if late:
        raise ConfigError(
            f"{late.partition('=')[0]} stands behind the command",
            f"it belongs before it: 'a2d -C DIR {arguments[position]} …'",
        )


def single_files(arguments: list[str]) -> list[str]:
    """`--train all.tsv` (both sides in one TSV or TMX file) becomes `--train all.tsv ''`, as the option takes two."""
    result: list[str] = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        result += [option, value] if equals and option in OWN_FILES else [argument]
        if result[-2:-1] and result[-2] in OWN_FILES:
            from a2d_cli.commands.own_files import file_format

            if file_format(result[-1]) != "plain":
                result.append("")
    if result[-2:-1] and result[-2] in OWN_FILES:  # the parser would only say that it takes two
        from a2d_cli.commands.own_files import one_file_alone

        raise one_file_alone(*result[-2:])
    return result


def _version(value: bool) -> None:
    if value:
        from a2d_cli import __version__

        typer.echo(f"a2d {__version__}")
        raise typer.Exit()


@app.callback()
def project_folder(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Option("-C", "--project", envvar="A2D_PROJECT", metavar="DIR", help="The project folder."),
    ] = Path("."),
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"-C {folder}: a file, not a folder", "name a folder")
    if not folder.exists() and context.invoked_subcommand not in WITHOUT_FOLDER:
        raise ConfigError(
            f"-C {folder}: no such folder", f"'a2d -C {shlex.quote(str(folder))} prepare RECIPE' makes a project there"
        )
    context.obj = Project(folder.absolute())
