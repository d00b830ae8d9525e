"""The commands that make models: from text to teachers and students.

The work is in commands/, imported when one runs.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from a2d_cli.cli.options import (
    Beam,
    CacheTeacher,
    Device,
    Hours,
    Json,
    Overwrite,
    Precision,
    Seed,
    Set,
    TestSets,
    Threads,
    cache_of,
    check_choice,
    overrides_of,
    print_all,
    project_recipe,
    stop_at_once,
    tell_next,
    typed,
)
from a2d_cli.config.rules import MAX_BEAM
from a2d_cli.console import make_reporter, print_json, print_table
from a2d_cli.cores import num_cores
from a2d_cli.project.project import Project


def prepare(
    context: typer.Context,
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A shipped recipe (a2d recipes list) or a YAML file.")
    ] = None,
    train: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="SRC TGT", help="Your own training text: two files, or one TSV or TMX file."),
    ] = None,
    valid: Annotated[tuple[str, str] | None, typer.Option(metavar="SRC TGT", help="Your own validation text.")] = None,
    test: Annotated[tuple[str, str] | None, typer.Option(metavar="SRC TGT", help="Your own test text.")] = None,
    pair: Annotated[
        str | None, typer.Option(metavar="SRC-TGT", help="Languages of your own files, e.g. de-en.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="SRC,TGT", help="Columns of source and target in your own TSV files, counted from 1."),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL", envvar="A2D_MIRROR", help="Look for HOST/PATH of each download here before the network."
        ),
    ] = None,
    tokenizer_from: Annotated[
        str | None,
        typer.Option(metavar="RUN|FOLDER", help="Use the tokenizer of this run (a2d import) instead of training one."),
    ] = None,
    trim: Annotated[
        bool, typer.Option("--trim", help="Keep only the pieces of that tokenizer that occur in the training text.")
    ] = False,
    settings: Set = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Prepare a corpus: the folder becomes a project.

    Downloads, cleans, removes training pairs that occur in validation or test sets, and tokenises. Steps that are up
    to date are skipped.

    Examples: a2d prepare multi30k-ende
              a2d prepare --train my.de my.en --pair de-en
              a2d prepare --train my.tsv --columns 3,1 --pair de-en
              a2d prepare multi30k-deen --tokenizer-from teacher --trim
    """
    from a2d_cli.commands import own_files
    from a2d_cli.commands import prepare as command

    project: Project = context.obj
    own = {"train": train, "valid": valid, "test": test}
    given = {name: files for name, files in own.items() if files}
    parsed = own_files.choose_recipe(
        project, recipe, given, pair, overrides_of(settings), tokenizer_from, trim, columns=columns
    )
    again = typed() + " --overwrite" * overwrite
    try:
        report = command.prepare(
            project, parsed, mirror=mirror, reporter=make_reporter(), overwrite=overwrite, command=again
        )
    except KeyboardInterrupt:
        stop_at_once(again)
    if as_json:
        print_json(report.values)
    else:
        from a2d_cli.commands.status import project_status

        source = parsed.tokenizer.taken_from or ""
        elsewhere = (
            project.command(f"distill --teacher {shlex.quote(source)}") if "/" in source else ""
        )  # no run of the project
        note = f"next: {elsewhere}" if elsewhere else project_status(project).note
        print_table(f"prepared {parsed.name}", ["what", "result"], report.summary_rows(), note)


def import_model(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A Marian model in Hugging Face form (OPUS-MT, MarianMT).")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run.")] = "teacher",
    pair: Annotated[
        str | None, typer.Option(metavar="SRC-TGT", help="Its languages, if the folder does not name them, e.g. de-en.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Import a model that others have trained as the teacher.

    Then prepare the text with its tokenizer.

    Example: a2d import ./opus-mt-de-en
             a2d prepare RECIPE --tokenizer-from teacher --trim
    """
    from a2d_cli.commands import import_model as command

    project: Project = context.obj
    run = command.import_model(project, folder, name, pair, typed(), make_reporter(), overwrite)
    info = run.info
    typer.echo(f"{run.name}: {info['pair']}, {info['parameters'] / 1e6:.1f} M parameters, from {info['imported_from']}")
    typer.echo(f"next: {project.command(f'prepare RECIPE --tokenizer-from {run.name}')}")


def train_teacher(
    context: typer.Context,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run.")] = "teacher",
    seed: Seed = None,
    precision: Precision = None,
    device: Device = None,
    max_hours: Hours = None,
    settings: Set = None,
    overwrite: Overwrite = False,
) -> None:
    """Train the teacher of the recipe. Interrupt it anywhere: the same command resumes.

    Several processes: torchrun --nproc-per-node 2 --no-python a2d train-teacher
    """
    from a2d_cli.commands import train_teacher as command

    overrides = overrides_of(
        settings,
        training__seed=seed,
        training__precision=precision,
        training__device=device,
        training__max_hours=max_hours,
    )
    project: Project = context.obj
    run = command.train_teacher(project, project_recipe(project, overrides), name, typed(), make_reporter(), overwrite)
    tell_next(project, "" if run.name == "teacher" else f"distill --teacher {run.name}")


def distill(
    context: typer.Context,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Run name, run folder or checkpoint folder; several, separated by commas, are an ensemble.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="a2d, seq+a2d, word, seq, ce, attn-fixed, amad, hidden, …; '+' joins them (README lists all).",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Variant that plain 'a2d' means: diagonal, simplex, masked, … Same as --method a2d-NAME.",
        ),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="mini, tiny, small, base, paper, or KEY=VALUE,… (e.g. d_model=192,num_heads=4).",
        ),
    ] = None,
    pseudo: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="SRC HYP", help="Train on these lines and their translations instead of the training text."
        ),
    ] = None,
    cache_teacher: CacheTeacher = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run (default: the method's).")] = None,
    seed: Seed = None,
    precision: Precision = None,
    device: Device = None,
    max_hours: Hours = None,
    settings: Set = None,
    overwrite: Overwrite = False,
    resume_with: Annotated[
        str | None, typer.Option(hidden=True, help="What goes on with this, and more: a2d compare.")
    ] = None,
) -> None:
    """Train the student with the teacher's help.

    It learns from the teacher's word probabilities and attention (a2d), from its probabilities (word), from its
    translations (seq), or from the references alone (ce).

    Interrupt it anywhere: the same command resumes.
    """
    from a2d_cli.commands import distill as command

    overrides = overrides_of(
        [*cache_of(cache_teacher), *(settings or [])],
        distillation__teacher=teacher,
        distillation__method=method,
        distillation__profile=profile,
        student_training__seed=seed,
        student_training__precision=precision,
        student_training__device=device,
        student_training__max_hours=max_hours,
    )
    project: Project = context.obj
    recipe = project_recipe(project, overrides)
    if student:
        from dataclasses import replace

        from a2d_cli.config.loader import parse_student

        recipe = replace(recipe, student=parse_student(student, recipe))
    command.warn_of_idle_settings(recipe, settings or [], make_reporter())
    command.distill(project, recipe, name, resume_with or typed(), make_reporter(), overwrite, pseudo)
    tell_next(project)


def pseudo(
    context: typer.Context,
    teacher: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Run name, run folder or checkpoint folder.")
    ] = None,
    beam: Beam = None,
    nbest: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Translations kept per sentence (default: the beam size).")
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="torch, ct2, or auto: ct2, but torch on a GPU.")] = "auto",
    quantization: Annotated[
        str | None,
        typer.Option(
            "-q", "--quantization", metavar="TYPE", help="float32, or int8: faster, but not exactly the teacher."
        ),
    ] = None,
    threads: Threads = 0,
    device: Device = None,
    settings: Set = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Let the teacher translate the training text, for seq.

    distill --method seq trains on these translations, and makes them first where they are missing. If you change the
    beam here, give distill the same. Interrupt it anywhere: the same command resumes.

    Examples: a2d pseudo
              a2d pseudo --beam 8
              a2d distill --method seq --set distillation.pseudo_beam=8
    """
    from a2d_cli.commands import pseudo as command

    check_choice("--engine", engine, ("auto", "torch", "ct2"))
    overrides = overrides_of(
        settings,
        distillation__teacher=teacher,
        distillation__pseudo_beam=beam,
        distillation__pseudo_nbest=nbest,
        distillation__pseudo_quantization=quantization,
    )
    project: Project = context.obj
    corpus = command.pseudo(
        project,
        project_recipe(project, overrides),
        engine=command.EngineChoice(engine, threads, device or "auto"),
        command=typed(),
        reporter=make_reporter(),
        overwrite=overwrite,
    )
    if as_json:
        print_json(corpus.to_json())
    else:
        print(corpus.folder)


def compare(
    context: typer.Context,
    methods: Annotated[
        str, typer.Option(metavar="A,B,…", help="Methods of 'a2d distill', separated by commas.")
    ] = "ce,word,a2d",
    seeds: Annotated[
        str, typer.Option(metavar="N|A,B,…", help="How many seeds (7: 1 to 7), or which (3,4,5; a single one: 3,).")
    ] = "7",
    updates: Annotated[
        str | None,
        typer.Option(
            metavar="N,…", help="Updates per run (default: the recipe's); of several, every method is trained at each."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Runs trained or scored at the same time.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="CPU threads per run (default: the cores divided by the jobs)."),
    ] = None,
    teacher: Annotated[str | None, typer.Option(metavar="MODEL", help="As in 'a2d distill'.")] = None,
    student: Annotated[str | None, typer.Option(metavar="SHAPE", help="As in 'a2d distill'.")] = None,
    cache_teacher: CacheTeacher = False,
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline", metavar="METHOD", help="Compare the others to this one (default: ce and word). Repeatable."
        ),
    ] = None,
    tests: TestSets = None,
    beam: Annotated[
        int | None,
        typer.Option(
            "-b",
            "--beam",
            metavar="N",
            min=1,
            max=MAX_BEAM,
            help="Beam size when test sets are translated; nothing is retrained.",
        ),
    ] = None,
    label: Annotated[
        str,
        typer.Option(
            metavar="WORD", help="Prefix of the runs' names: for another student or other settings in the same project."
        ),
    ] = "",
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one row per run to this CSV file.")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plot means with intervals: a .png or .svg file.")
    ] = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Train methods with several seeds and compare them fairly.

    All conditions are equal, and every run is trained for the same number of updates (no patience, max_epochs or
    max_hours). The tables say which differences may be claimed, and are kept for the report.
    Interrupt it anywhere: the same command resumes, and trains no finished run again.

    Examples: a2d compare --methods ce,word,a2d --seeds 7 --jobs 2 --threads 1
              a2d compare --methods word,a2d --updates 1000,4000 --figure fig.svg
              a2d compare --methods word,word@divergence=js,word@alpha=1
              a2d compare --methods word,a2d --label d192 --student d_model=192
    """
    from a2d_cli.commands import compare as command
    from a2d_cli.commands.compare_figure import check_figure, draw
    from a2d_cli.commands.compare_plan import Request, read_seeds
    from a2d_cli.commands.option_lists import read_numbers
    from a2d_cli.files import check_target, write_text

    for option, path in (("--csv", csv), ("--figure", figure)):
        if path:
            check_target(option, path)
    if figure:
        check_figure(figure)
    request = Request(
        methods=tuple(methods.split(",")),
        seeds=read_seeds(seeds),
        lengths=read_numbers("--updates", updates) if updates else (),
        baselines=tuple(baselines or ()),
        test_sets=tuple(tests or ()),
        teacher=teacher,
        student=student,
        settings=(*cache_of(cache_teacher), *(settings or ()), *([f"decoding.beam={beam}"] if beam else ())),
        label=label,
        jobs=jobs,
        threads=threads or max(1, num_cores() // jobs),
    )
    comparison = command.compare(context.obj, request, typed(), make_reporter())
    print_all(comparison.tables(), comparison.to_json(), as_json)  # first: whatever becomes of the files
    if csv:
        write_text(csv, comparison.to_csv())
    if figure:
        draw(comparison, figure)
