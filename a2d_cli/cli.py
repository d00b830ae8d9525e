"""The `a2d` command: options and help; the work is in commands/, imported only when a command runs."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from a2d_cli.console import make_reporter, print_error, print_json, print_table
from a2d_cli.errors import A2DError, ConfigError, Interrupted
from a2d_cli.files import explain_disk_error
from a2d_cli.project.project import Project

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Distil a big translation model into a small, fast one (Align-to-Distill).",
    epilog="Start with 'a2d demo', or: a2d prepare RECIPE, a2d train-teacher, a2d distill, a2d translate, a2d score.",
)
recipes_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The recipes that come with a2d.")
app.add_typer(recipes_app, name="recipes")

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe key, e.g. training.lr=3e-4. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands there.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")]
Hours = Annotated[float | None, typer.Option(help="Stop after this much training time, all sittings together.")]
Seed = Annotated[int | None, typer.Option(help="Of initial weights, batch order and dropout.")]
OWN_FILES = ("--train", "--valid", "--test")
Model = Annotated[str | None, typer.Option(help="Run name, run folder or checkpoint folder (default: newest student).")]


def main() -> NoReturn:
    """Run the command line; a user's mistake ends in one message and an exit code, never in a traceback."""
    sys.argv[1:] = single_files(sys.argv[1:])
    # Threads that spin while they wait starve each other where cores are shared: a step then takes 20 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
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


def explain(error: Exception) -> A2DError | None:
    """What went wrong, in words for the person at the keyboard; None: a bug of ours, to be seen in full."""
    if isinstance(error, A2DError):
        return error
    if isinstance(error, OSError):
        path = error.filename or "output"
        return explain_disk_error(error, Path(path)) or A2DError(f"{path}: {error.strerror or error}")
    if isinstance(error, (MemoryError, RuntimeError)):
        from a2d_cli.training.trainer import is_out_of_memory

        if is_out_of_memory(error):
            what = str(error).partition("\n")[0]
            return A2DError(
                f"out of memory: {what}", "smaller batches: --set decoding.batch_sentences=N (translate: --batch-size N)"
            )
    return None


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
        Path, typer.Option("-C", "--project", envvar="A2D_PROJECT", metavar="DIR", help="The project folder.")
    ] = Path("."),
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")] = False,
) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"-C {folder}: a file, not a folder", "name a folder")
    context.obj = Project(folder.absolute())


def _typed() -> str:
    """What goes on with the command as typed, should it be interrupted: the same, but never once more from the start."""
    launcher = f"torchrun --nproc-per-node {os.environ['LOCAL_WORLD_SIZE']} --no-python " if "LOCAL_WORLD_SIZE" in os.environ else ""
    return f"{launcher}a2d {shlex.join(argument for argument in sys.argv[1:] if argument != '--overwrite')}"


def _overrides(settings: list[str] | None, **flags: Any) -> list[str]:
    """`--set` values and the flags that stand for one; a flag's name is the key with '__' for '.'."""
    given = [f"{name.replace('__', '.')}={value}" for name, value in flags.items() if value is not None]
    return [*(settings or []), *given]


@app.command()
def prepare(
    context: typer.Context,
    recipe: Annotated[str | None, typer.Argument(help="A shipped recipe (a2d recipes list) or a YAML file.")] = None,
    train: Annotated[
        tuple[str, str] | None, typer.Option(metavar="SRC TGT", help="Your own training text; or one TSV or TMX file.")
    ] = None,
    valid: Annotated[tuple[str, str] | None, typer.Option(metavar="SRC TGT", help="Your own validation text.")] = None,
    test: Annotated[tuple[str, str] | None, typer.Option(metavar="SRC TGT", help="Your own test text.")] = None,
    pair: Annotated[str | None, typer.Option(help="Languages of your own files, e.g. de-en.")] = None,
    mirror: Annotated[
        str | None, typer.Option(envvar="A2D_MIRROR", help="Folder or URL that holds HOST/PATH of each download.")
    ] = None,
    tokenizer_from: Annotated[
        str | None, typer.Option(metavar="RUN|FOLDER", help="Take the tokenizer of a run (a2d import) instead of training one.")
    ] = None,
    trim: Annotated[bool, typer.Option("--trim", help="Cut that tokenizer to the pieces of the training text.")] = False,
    settings: Set = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Download, clean, decontaminate and tokenise a corpus: the folder becomes a project.

    Examples: a2d prepare multi30k-ende
              a2d prepare --train my.de my.en --pair de-en
              a2d prepare multi30k-deen --tokenizer-from teacher --trim
    """
    from a2d_cli.commands import own_files
    from a2d_cli.commands import prepare as command

    project: Project = context.obj
    own = {"train": train, "valid": valid, "test": test}
    given = {name: files for name, files in own.items() if files}
    parsed = own_files.choose_recipe(project, recipe, given, pair, _overrides(settings), tokenizer_from, trim)
    report = command.prepare(project, parsed, mirror=mirror, reporter=make_reporter(), overwrite=overwrite)
    if as_json:
        print_json(report.values)
    else:
        source = parsed.tokenizer.taken_from
        step = f"distill --teacher {shlex.quote(source)}" if source else "train-teacher"
        print_table(f"prepared {parsed.name}", ["what", "result"], report.summary_rows(), f"next: {project.command(step)}")


@app.command("import")
def import_model(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A Marian model in Hugging Face form (OPUS-MT, MarianMT).")],
    name: Annotated[str, typer.Option(help="Name of the run.")] = "teacher",
    pair: Annotated[str | None, typer.Option(help="Its languages, where the folder does not say them, e.g. de-en.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Take a model that others have trained as the teacher.

    Then its tokenizer must be the project's: a2d prepare RECIPE --tokenizer-from teacher --trim
    """
    from a2d_cli.commands import import_model as command

    project: Project = context.obj
    run = command.import_model(project, folder, name, pair, _typed(), make_reporter(), overwrite)
    info = run.info
    typer.echo(f"{run.name}: {info['pair']}, {info['parameters'] / 1e6:.1f} M parameters, from {info['imported_from']}")
    typer.echo(f"next: {project.command(f'prepare RECIPE --tokenizer-from {run.name}')}")


@app.command("train-teacher")
def train_teacher(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Name of the run.")] = "teacher",
    seed: Seed = None,
    precision: Precision = None,
    device: Device = None,
    max_hours: Hours = None,
    settings: Set = None,
    overwrite: Overwrite = False,
) -> None:
    """Train the teacher by the recipe. Interrupt it anywhere: the same command goes on.

    Several processes: torchrun --nproc-per-node 2 --no-python a2d train-teacher
    """
    from a2d_cli.commands import train_teacher as command

    overrides = _overrides(
        settings,
        training__seed=seed,
        training__precision=precision,
        training__device=device,
        training__max_hours=max_hours,
    )
    project: Project = context.obj
    command.train_teacher(project, _project_recipe(project, overrides), name, _typed(), make_reporter(), overwrite)


@app.command()
def distill(
    context: typer.Context,
    teacher: Annotated[str | None, typer.Option(help="Run name, run folder or checkpoint folder.")] = None,
    method: Annotated[
        str | None, typer.Option(help="ce, word, seq, a2d, a2d-PROFILE (release, paper, masked, simplex); joined by '+'.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of a plain a2d.")] = None,
    student: Annotated[
        str | None, typer.Option(help="tiny, small, base, paper, or KEY=VALUE,… (e.g. d_model=192,num_heads=4).")
    ] = None,
    pseudo: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="SRC HYP", help="Learn from these lines and their translations instead of the training text."),
    ] = None,
    cache_teacher: Annotated[
        bool, typer.Option("--cache-teacher", help="Ask the teacher once and keep what it says on disk, if it fits.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the run (default: the method's).")] = None,
    seed: Seed = None,
    precision: Precision = None,
    device: Device = None,
    max_hours: Hours = None,
    settings: Set = None,
    overwrite: Overwrite = False,
) -> None:
    """Train the student: from the teacher's words and attention (a2d), its words (word), its translations (seq), or the
    references (ce).

    Interrupt it anywhere: the same command goes on.
    """
    from a2d_cli.commands import distill as command

    cache = ["distillation.cache=auto"] if cache_teacher else []  # first: --set distillation.cache=topk says more
    overrides = _overrides(
        [*cache, *(settings or [])],
        distillation__teacher=teacher,
        distillation__method=method,
        distillation__profile=profile,
        student_training__seed=seed,
        student_training__precision=precision,
        student_training__device=device,
        student_training__max_hours=max_hours,
    )
    project: Project = context.obj
    recipe = _project_recipe(project, overrides)
    if student:
        from dataclasses import replace

        from a2d_cli.config.loader import parse_student

        recipe = replace(recipe, student=parse_student(student, recipe))
    command.distill(project, recipe, name, _typed(), make_reporter(), overwrite, pseudo)


@app.command()
def pseudo(
    context: typer.Context,
    teacher: Annotated[str | None, typer.Option(help="Run name, run folder or checkpoint folder.")] = None,
    beam: Annotated[int | None, typer.Option("-b", "--beam", min=1, help="Hypotheses kept while searching.")] = None,
    nbest: Annotated[
        int | None, typer.Option(min=1, help="Translations kept of each sentence (default: as many as the beam).")
    ] = None,
    engine: Annotated[str, typer.Option(help="torch, ct2, or auto: ct2, but torch on a GPU.")] = "auto",
    quantization: Annotated[
        str | None, typer.Option("-q", "--quantization", help="float32, or int8: faster, not quite the teacher.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 = all.")] = 0,
    device: Device = None,
    settings: Set = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Let the teacher translate the training text, for distill --method seq, which otherwise does it first.

    Interrupt it anywhere: the same command goes on. A student learns from another beam by the same settings:

    Examples: a2d pseudo
              a2d pseudo --beam 8 && a2d distill --method seq --set distillation.pseudo_beam=8
    """
    from a2d_cli.commands import pseudo as command

    _check_choice("--engine", engine, ("auto", "torch", "ct2"))
    overrides = _overrides(
        settings,
        distillation__teacher=teacher,
        distillation__pseudo_beam=beam,
        distillation__pseudo_nbest=nbest,
        distillation__pseudo_quantization=quantization,
    )
    project: Project = context.obj
    corpus = command.pseudo(
        project,
        _project_recipe(project, overrides),
        engine=engine,
        threads=threads,
        device=device or "auto",
        command=_typed(),
        reporter=make_reporter(),
        overwrite=overwrite,
    )
    if as_json:
        print_json(corpus.to_json())
    else:
        print(corpus.folder)


def _project_recipe(project: Project, overrides: list[str]) -> Any:
    from a2d_cli.config.loader import read_project_recipe

    project.require_prepared()
    return read_project_recipe(project.recipe_path, overrides)


@app.command()
def translate(
    context: typer.Context,
    model: Model = None,
    input_path: Annotated[Path | None, typer.Option("-i", "--input", help="Text file (default: stdin).")] = None,
    output_path: Annotated[Path | None, typer.Option("-o", "--output", help="Text file (default: stdout).")] = None,
    beam: Annotated[int | None, typer.Option("-b", "--beam", "--beam-size", min=1, help="Hypotheses kept.")] = None,
    nbest: Annotated[int | None, typer.Option(min=1, help="Lines of output for each line of input.")] = None,
    length_penalty: Annotated[
        float | None, typer.Option("--length-penalty", "--lenpen", help="Score / length ** this.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sentences translated at once.")] = None,
    errors: Annotated[str, typer.Option(help="Invalid UTF-8: strict (refuse) or replace.")] = "strict",
    form: Annotated[str, typer.Option("--format", help="text, tsv (line, score, translation) or jsonl.")] = "text",
    device: Device = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 = all.")] = 0,
    engine: Annotated[str, typer.Option(help="torch, ct2, or auto: ct2 if the model was exported.")] = "auto",
    alignment: Annotated[bool, typer.Option("--alignment", help="Add word links: TRANSLATION ||| 0-0 1-2 …")] = False,
    no_repeat_ngram: Annotated[
        int | None, typer.Option(min=0, help="No so many tokens in a row occur twice: stops loops. 0 = off.")
    ] = None,
) -> None:
    """Translate lines: N lines in, N × nbest lines out, in order; on a terminal, a prompt.

    Example: a2d translate < input.txt > output.txt
    """
    import signal

    from a2d_cli.commands import translate as command

    _check_choice("--errors", errors, ("strict", "replace"))
    _check_choice("--format", form, ("text", "tsv", "jsonl"))
    _check_choice("--engine", engine, ("auto", "torch", "ct2"))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough ends us quietly
    reporter = make_reporter()
    source = command.open_input(input_path)
    given = {
        "beam": beam,
        "nbest": nbest,
        "length_penalty": length_penalty,
        "batch_sentences": batch_size,
        "no_repeat_ngram": no_repeat_ngram,
    }
    overrides = {key: value for key, value in given.items() if value is not None}
    translator = command.open_translator(
        context.obj, model, overrides, device or "auto", reporter, engine=engine, threads=threads, align=alignment
    )
    lines = command.Prompt(source) if source.isatty() else source
    with command.open_output(output_path) as sink:
        command.translate_stream(translator, lines, sink, reporter, errors, form)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{option}: '{value}' is none of {', '.join(choices)}")


@app.command()
def score(
    context: typer.Context,
    hypotheses: Annotated[list[Path] | None, typer.Argument(help="Translations to score; none: the project's models.")] = None,
    reference: Annotated[list[Path] | None, typer.Option("--reference", "-r", help="Reference file. Repeatable.")] = None,
    metrics: Annotated[list[str] | None, typer.Option("-m", "--metric", help="bleu, chrf, chrf++ or ter. Repeatable.")] = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="Only these runs. Repeatable.")] = None,
    tests: Annotated[list[str] | None, typer.Option("--test-set", help="Only these test sets. Repeatable.")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for confidence intervals of files; 0 = none.")] = 0,
    beam: Annotated[int | None, typer.Option("-b", "--beam", min=1, help="Hypotheses kept.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Translate again what is cached.")] = False,
    gap: Annotated[bool, typer.Option("--gap", help="From the teacher to a student in int8, step by step.")] = False,
    stress: Annotated[bool, typer.Option("--stress", help="Count loops, lost numbers, odd lengths on odd input.")] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Score the project's teacher and students on its test sets, or files against references.

    Examples: a2d score
              a2d score hyp.txt --reference ref.txt -m bleu -m chrf -m ter --json
              a2d score --gap
    """
    if (gap and stress) or ((gap or stress) and (hypotheses or reference)):
        raise ConfigError("--gap and --stress stand alone, for the project's models", "run them one by one, without files")
    if hypotheses or reference:
        from a2d_cli.commands import score_files as files

        results = files.score_files(hypotheses or [], reference or [], metrics or files.METRICS, bootstrap=bootstrap)
        _print_all([files.file_table(results)], [result.to_json() for result in results], as_json)
        return

    common: dict[str, Any] = {
        "test_sets": tests,
        "decoding": {"beam": beam} if beam else {},
        "device": device or "auto",
        "reporter": make_reporter(),
    }
    if gap:
        from a2d_cli.commands.score_gap import score_gap

        if models and len(models) > 1:
            raise ConfigError(f"--gap: one student at a time, not {len(models)}", "name one with --model")
        gaps = score_gap(context.obj, model=models[0] if models else None, refresh=refresh, **common)
        _print_all([each.table() for each in gaps], [each.to_json() for each in gaps], as_json)
    elif stress:
        from a2d_cli.commands.score_stress import score_stress

        report = score_stress(context.obj, models=models, **common)
        _print_all(report.tables(), report.to_json(), as_json)
    else:
        from a2d_cli.commands.score import score_project

        table = score_project(context.obj, models=models, refresh=refresh, **common)
        _print_all(table.tables(), table.to_json(), as_json)


def _print_all(tables: list[Any], value: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
        return
    for number, table in enumerate(tables):
        if number:
            print()
        _print(table)


def _print(table: Any) -> None:
    print_table(table.title, table.columns, table.rows, table.note)


@app.command()
def export(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Run name, run folder or checkpoint folder (default: newest student).")] = None,
    to: Annotated[str, typer.Option(help="ct2 (CTranslate2) or hf (Hugging Face).")] = "ct2",
    quantization: Annotated[
        str | None, typer.Option("-q", "--quantization", help="int8 (default of ct2), int16, float16 or float32.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder (default: exports/NAME-… of the project).")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model as a folder that runs elsewhere, proved on validation text; translate uses it by itself.

    Examples: a2d export
              a2d export teacher --to hf
    """
    from a2d_cli.commands import export as command

    exported = command.export(
        context.obj,
        model,
        to=to,
        quantization=quantization or ("int8" if to == "ct2" else "float32"),
        output=output.absolute() if output else None,
        overwrite=overwrite,
        reporter=make_reporter(),
    )
    if as_json:
        from dataclasses import asdict

        print_json({"folder": str(exported.folder), **asdict(exported.manifest)})
    else:
        print(exported.folder)


@app.command()
def bench(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Runs, run, checkpoint or export folders (default: all finished runs)."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Untrained models: tiny,small,base,paper, 6-6 (layers), KEY=VALUE changes the one before it."),
    ] = None,
    sentences: Annotated[int, typer.Option(min=1, help="Of the test set, evenly chosen.")] = 200,
    beam: Annotated[str, typer.Option("-b", "--beam", help="Hypotheses kept; several with commas.")] = "1,5",
    batch_size: Annotated[str, typer.Option(help="Sentences translated at once; several with commas.")] = "1,32",
    engine: Annotated[str, typer.Option(help="torch, ct2 or both.")] = "torch,ct2",
    precision: Annotated[str, typer.Option(help="Of ct2: float32, int8 or both; an export keeps its own.")] = "float32,int8",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Each measures everything once; medians are told.")] = 3,
    as_json: Json = False,
) -> None:
    """Size, memory and speed per core of models on this machine's CPU, by engine and precision.

    Examples: a2d bench
              a2d bench --preset tiny,small,base,paper,6-6
    """
    from a2d_cli.commands import bench as command

    settings = command.BenchSettings(
        engines=command.read_names("--engine", engine, tuple(command.ENGINES)),
        precisions=command.read_names("--precision", precision, command.PRECISIONS),
        beams=command.read_numbers("--beam", beam),
        batch_sizes=command.read_numbers("--batch-size", batch_size),
        sentences=sentences,
        rounds=rounds,
        threads=threads,
    )
    report = command.bench(context.obj, models or [], preset, settings, make_reporter())
    if as_json:
        print_json(report.to_json())
    else:
        _print(report.table())


@app.command()
def compare(
    context: typer.Context,
    methods: Annotated[str, typer.Option(help="Of a2d distill, with commas between.")] = "ce,word,a2d",
    seeds: Annotated[str, typer.Option(help="How many (5 = 1 to 5), or which (3,4,5).")] = "5",
    updates: Annotated[
        str | None, typer.Option(help="Length of a run (default: the recipe's); several with commas: every method at each.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of a run (default: the cores, shared by the jobs).")] = None,
    student: Annotated[str | None, typer.Option(help="As in a2d distill.")] = None,
    baselines: Annotated[
        list[str] | None, typer.Option("--baseline", help="What to compare to (default: ce and word). Repeatable.")
    ] = None,
    tests: Annotated[list[str] | None, typer.Option("--test-set", help="Only these test sets. Repeatable.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row a run to this file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw means with intervals: FILE.png or FILE.svg.")] = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Train methods under equal conditions with several seeds, and tell what may be said of their differences.

    Interrupt it anywhere: the same command goes on; what is finished is not trained again.

    Examples: a2d compare --methods ce,word,a2d --seeds 6 --jobs 2 --threads 1
              a2d compare --methods word,a2d --updates 1000,2000,4000 --figure lengths.svg
    """
    from a2d_cli.commands import compare as command
    from a2d_cli.commands.bench import read_numbers
    from a2d_cli.commands.compare_figure import check_figure, draw
    from a2d_cli.files import write_text

    if figure:
        check_figure(figure)
    request = command.Request(
        methods=tuple(methods.split(",")),
        seeds=command.read_seeds(seeds),
        lengths=read_numbers("--updates", updates) if updates else (),
        baselines=tuple(baselines or ()),
        test_sets=tuple(tests or ()),
        student=student,
        settings=tuple(settings or ()),
        jobs=jobs,
        threads=threads or max(1, (os.cpu_count() or 1) // jobs),
    )
    comparison = command.compare(context.obj, request, _typed(), make_reporter())
    if csv:
        write_text(csv, comparison.to_csv())
    if figure:
        draw(comparison, figure)
    _print_all(comparison.tables(), comparison.to_json(), as_json)


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """What is done, what comes next, and where things are."""
    from a2d_cli.commands import status as command

    report = command.project_status(context.obj)
    if as_json:
        print_json(report.to_json())
    else:
        print_table(f"project {report.folder}", ["what", "state", "where"], report.rows(), f"next: {report.next_command}")


@app.command()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A new folder for the demo's project.")] = Path("a2d-demo"),
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """The whole way in a few minutes: an embedded corpus, a teacher, a plain student, a distilled student, a table."""
    from a2d_cli.commands import demo as command

    result = command.demo(Project(context.obj.folder / folder), _overrides(settings), _typed(), make_reporter())
    if as_json:
        print_json(result.to_json())
        return
    _print(result.scores)
    print()
    _print(result.samples)
    print()
    print(f"The project is {folder}. Try: echo 'Der Hund schläft.' | a2d -C {folder} translate")


@recipes_app.command("list")
def recipes_list(as_json: Json = False) -> None:
    """Names, languages and sizes."""
    from a2d_cli.commands import recipes as command

    found = command.list_recipes()
    if as_json:
        print_json([{"name": each.name, "pair": each.pair, "about": each.about} for each in found])
    else:
        print_table("recipes", ["name", "pair", "about"], [(each.name, each.pair, each.about) for each in found])


@recipes_app.command("show")
def recipes_show(name: Annotated[str, typer.Argument(help="Of a recipe.")]) -> None:
    """Print a recipe with its comments."""
    from a2d_cli.commands import recipes as command

    typer.echo(command.show_recipe(name), nl=False)


@recipes_app.command("copy")
def recipes_copy(
    name: Annotated[str, typer.Argument(help="Of a recipe.")],
    destination: Annotated[Path | None, typer.Argument(help="File or folder (default: here).")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a recipe here to edit it: a2d prepare ./NAME.yaml."""
    from a2d_cli.commands import recipes as command

    typer.echo(command.copy_recipe(name, destination, overwrite))
