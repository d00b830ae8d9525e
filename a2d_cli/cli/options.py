"""What the commands share: options, and how their results are printed."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from a2d_cli.config.rules import MAX_BEAM
from a2d_cli.config.schema import Decoding, Recipe
from a2d_cli.console import make_reporter, print_json, print_table
from a2d_cli.errors import ConfigError
from a2d_cli.project.project import Project

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any key of a2d.yaml, e.g. training.lr=3e-4. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")]
Device = Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str | None, typer.Option(metavar="TYPE", help="auto, fp32, bf16 or fp16.")]
Hours = Annotated[
    float | None, typer.Option(metavar="HOURS", help="Stop after so many hours of training, interruptions not counted.")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Random seed of initial weights, batch order and dropout.")]
Beam = Annotated[int | None, typer.Option("-b", "--beam", metavar="N", min=1, max=MAX_BEAM, help="Beam size.")]
Threads = Annotated[int, typer.Option(metavar="N", min=0, max=4096, help="CPU threads; 0 = all.")]
TestSets = Annotated[
    list[str] | None, typer.Option("--test-set", metavar="NAME", help="Only this test set. Repeatable.")
]
CacheTeacher = Annotated[
    bool, typer.Option("--cache-teacher", help="Run the teacher once and keep its outputs on disk, if they fit.")
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Run name, or folder of a run, checkpoint or export (default: best student by validation).",
    ),
]


def typed() -> str:
    """What goes on with the command as typed, once interrupted: the same, but never once more from the start."""
    launcher = (
        f"torchrun --nproc-per-node {os.environ['LOCAL_WORLD_SIZE']} --no-python "
        if "LOCAL_WORLD_SIZE" in os.environ
        else ""
    )
    return f"{launcher}a2d {shlex.join(argument for argument in sys.argv[1:] if argument != '--overwrite')}"


def stop_at_once(command: str) -> NoReturn:
    """After Ctrl-C where finished steps are kept: say what goes on, and do not wait for threads that still compute."""
    print(f"stopped; what is finished is kept, go on with: {command}", file=sys.stderr, flush=True)
    os._exit(128 + signal.SIGINT)


def overrides_of(settings: list[str] | None, **flags: Any) -> list[str]:
    """`--set` values and the flags that stand for one.

    Args:
        flags: by key, with '__' for '.'; the flag is named as the key's last part, a leading `pseudo_` left out.
    """
    given = []
    for name, value in flags.items():
        if value is not None:
            option = name.rpartition("__")[2].removeprefix("pseudo_").replace("_", "-")
            given.append(f"--{option} {name.replace('__', '.')}={value}")
    return [*(settings or []), *given]


def cache_of(cache_teacher: bool) -> list[str]:
    """What --cache-teacher stands for; before --set, of which distillation.cache=topk says more."""
    return ["distillation.cache=auto"] if cache_teacher else []


def decoding_of(project: Project, settings: list[str] | None, beam: int | None) -> Decoding | None:
    """What `--set` and `--beam` make of the recipe's decoding settings; None where neither is given.

    Raises:
        ConfigError: a key of another section, which changes no translation.
    """
    from a2d_cli.config.keys import section_of

    for setting in settings or ():
        if section_of(setting) != "decoding":
            raise ConfigError(
                f"--set {setting}: a model that is trained can only decode otherwise",
                "for example --set decoding.length_penalty=0.8",
            )
    overrides = overrides_of(settings, decoding__beam=beam)
    # One translation is scored, however many the recipe asks for.
    return project_recipe(project, [*overrides, "decoding.nbest=1"]).decoding if overrides else None


def project_recipe(project: Project, overrides: list[str]) -> Recipe:
    """The recipe in a2d.yaml, changed by `overrides`; what it says otherwise of data that are prepared is warned of."""
    from a2d_cli.commands.preparation import prepared_recipe, warn_of_changes

    recipe = prepared_recipe(project, overrides)
    if _is_first_process():
        warn_of_changes(project, recipe, make_reporter())
    return recipe


def _is_first_process() -> bool:
    """Of several processes of one training (torchrun), the first speaks."""
    return os.environ.get("RANK", "0") == "0"


def tell_next(project: Project, command: str = "") -> None:
    """What uses the thing just made, or else what `a2d status` says comes next.

    On stderr: a script reads results alone.
    """
    if not _is_first_process():
        return
    if command:
        note = f"next: {project.command(command)}"
    else:
        from a2d_cli.commands.status import project_status

        note = project_status(project).note
    print(note, file=sys.stderr, flush=True)


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{option}: '{value}' is none of {', '.join(choices)}")


def print_all(tables: list[Any], value: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
        return
    for number, table in enumerate(tables):
        if number:
            print()
        print_one(table)


def print_one(table: Any) -> None:
    print_table(table.title, table.columns, table.rows, table.note)
