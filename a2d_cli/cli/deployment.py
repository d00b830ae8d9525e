"""The commands that use models: translate, score, export, measure.

The work is in commands/, imported only when a command runs.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from a2d_cli.cli.options import (
    Beam,
    Device,
    Json,
    Model,
    Overwrite,
    TestSets,
    Threads,
    check_choice,
    decoding_of,
    print_all,
    print_one,
    tell_next,
)
from a2d_cli.config.rules import MAX_BEAM
from a2d_cli.console import make_reporter, print_json
from a2d_cli.errors import ConfigError


def translate(
    context: typer.Context,
    model: Model = None,
    input_path: Annotated[
        Path | None, typer.Option("-i", "--input", metavar="FILE", help="Text to translate (default: stdin).")
    ] = None,
    output_path: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write (default: stdout).")
    ] = None,
    beam: Annotated[
        int | None, typer.Option("-b", "--beam", "--beam-size", metavar="N", min=1, max=MAX_BEAM, help="Beam size.")
    ] = None,
    nbest: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MAX_BEAM, help="Translations per line of input.")
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option("--length-penalty", "--lenpen", metavar="X", help="Scores are divided by length ** X."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", min=1, help="Sentences translated at once.")] = None,
    errors: Annotated[str, typer.Option(metavar="HOW", help="Invalid UTF-8: strict (refuse) or replace.")] = "strict",
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="text, tsv (line, score, translation) or jsonl.")
    ] = "text",
    device: Device = None,
    threads: Threads = 0,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="torch, ct2, or auto: ct2 if the model was exported.")
    ] = "auto",
    alignment: Annotated[
        bool, typer.Option("--alignment", help="Add word alignments: TRANSLATION ||| 0-0 1-2 …")
    ] = False,
    no_repeat_ngram: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=1000, help="Never repeat a sequence of N tokens: stops loops. 0 = off."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say which model translates even if stderr is no terminal.")
    ] = False,
) -> None:
    """Translate lines of text.

    N lines in, N × nbest lines out, in order. On a terminal it is a prompt.

    Example: a2d translate < input.txt > output.txt
    """
    import signal

    from a2d_cli.commands import translate as command
    from a2d_cli.commands.opened_model import open_translator
    from a2d_cli.config.rules import check_decoding
    from a2d_cli.config.schema import Decoding

    if context.args:
        path = context.args[0]
        raise ConfigError(
            f"'{path}' stands without an option", f"text comes from stdin, or a2d translate -i {shlex.quote(path)}"
        )
    check_choice("--errors", errors, ("strict", "replace"))
    check_choice("--format", form, ("text", "tsv", "jsonl"))
    check_choice("--engine", engine, ("auto", "torch", "ct2"))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough ends us quietly
    reporter = make_reporter(quiet_in_pipes=not verbose)
    source = command.open_input(input_path)
    command.check_output(output_path, input_path)
    given = {
        "beam": beam,
        "nbest": nbest,
        "length_penalty": length_penalty,
        "batch_sentences": batch_size,
        "no_repeat_ngram": no_repeat_ngram,
    }
    overrides = {key: value for key, value in given.items() if value is not None}
    check_decoding(Decoding(**overrides), {"length_penalty": "--length-penalty"})
    translator = open_translator(
        context.obj, model, overrides, device or "auto", reporter, engine=engine, threads=threads, align=alignment
    )
    lines = command.Prompt(source) if source.isatty() else source
    with command.open_output(output_path, reporter) as sink:
        command.translate_stream(translator, lines, sink, reporter, errors, form)


def score(
    context: typer.Context,
    hypotheses: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Translations to score (default: score the project's models)."),
    ] = None,
    reference: Annotated[
        list[Path] | None, typer.Option("--reference", "-r", metavar="FILE", help="Reference translations. Repeatable.")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("-m", "--metric", metavar="NAME", help="bleu, chrf, chrf++ or ter. Repeatable.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="MODEL", help="Only this model. Repeatable.")
    ] = None,
    tests: TestSets = None,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", min=0, help="Bootstrap resamples for intervals, of files; 0 = none.")
    ] = 0,
    language: Annotated[
        str | None,
        typer.Option(
            "-l", "--target-language", metavar="LANG", help="Of files: zh, ja and ko have BLEU tokenizers of their own."
        ),
    ] = None,
    beam: Beam = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Translate again instead of using cached translations.")
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Measure speed; not meaningful while other programs run.")
    ] = True,
    gap: Annotated[
        bool, typer.Option("--gap", help="Where a student loses quality: distillation, greedy search, int8.")
    ] = False,
    stress: Annotated[
        bool, typer.Option("--stress", help="Count loops, lost numbers and odd lengths on unusual input.")
    ] = False,
    device: Device = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a decoding.* key of a2d.yaml. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score models on test sets, or files against references.

    Without files: the project's teacher, students and exports on its test sets.

    Examples: a2d score
              a2d score hyp.txt --reference ref.txt -m bleu -m chrf -m ter --json
              a2d score --gap
    """
    if (gap and stress) or ((gap or stress) and (hypotheses or reference)):
        raise ConfigError(
            "--gap and --stress stand alone, for the project's models", "run them one by one, without files"
        )
    if not speed and (stress or hypotheses or reference):
        raise ConfigError("--no-speed: no speed is measured of files, nor by --stress", "leave it out")
    if refresh and (stress or hypotheses or reference):
        raise ConfigError("--refresh: nothing is cached of files, nor by --stress", "leave it out")
    of_files = {"--metric": metrics, "--bootstrap": bootstrap, "--target-language": language}
    of_models = {"--model": models, "--test-set": tests, "--beam": beam, "--set": settings, "--device": device}
    if hypotheses or reference:
        from a2d_cli.commands import score_files as files

        files.refuse_models(context.obj, hypotheses or [])
        _refuse(of_models, "is for the project's models, not for files", "leave it out, or leave out the files")
        results = files.score_files(
            hypotheses or [],
            reference or [],
            metrics or files.METRICS,
            bootstrap=bootstrap,
            tgt_lang=language or files.language_of(context.obj),
        )
        print_all([files.file_table(results)], [result.to_json() for result in results], as_json)
        return

    _refuse(of_files, "is for files of translations", "add HYPOTHESES and --reference, or leave it out")
    common: dict[str, Any] = {
        "test_sets": tests,
        "decoding": decoding_of(context.obj, settings, beam),
        "device": device or "auto",
        "reporter": make_reporter(),
    }
    if gap:
        from a2d_cli.commands.score_gap import score_gap

        if models and len(models) > 1:
            raise ConfigError(f"--gap: one student at a time, not {len(models)}", "name one with --model")
        gaps = score_gap(context.obj, model=models[0] if models else None, refresh=refresh, with_speed=speed, **common)
        print_all([each.table() for each in gaps], [each.to_json() for each in gaps], as_json)
    elif stress:
        from a2d_cli.commands.score_stress import score_stress

        if tests and len(set(tests)) > 1:
            raise ConfigError(f"--stress: one test set at a time, not {len(set(tests))}", "name one with --test-set")
        report = score_stress(context.obj, models=models, **common)
        print_all(report.tables(), report.to_json(), as_json)
    else:
        from a2d_cli.commands.score import score_project

        table = score_project(context.obj, models=models, refresh=refresh, with_speed=speed, **common)
        print_all(table.tables(), table.to_json(), as_json)
        tell_next(context.obj)


def _refuse(options: dict[str, Any], why: str, hint: str) -> None:
    """Raises ConfigError: one of them was given, and would change nothing."""
    given = next((option for option, value in options.items() if value), None)
    if given:
        raise ConfigError(f"{given} {why}", hint)


def export(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="Run name, run folder or checkpoint folder (default: best student by validation)."
        ),
    ] = None,
    to: Annotated[str, typer.Option(metavar="FORM", help="ct2 (CTranslate2) or hf (Hugging Face).")] = "ct2",
    quantization: Annotated[
        str | None,
        typer.Option("-q", "--quantization", metavar="TYPE", help="int8 (default of ct2), int16, float16 or float32."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder (default: exports/NAME-… of the project)."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model as a folder that runs elsewhere.

    The export is checked against the model on validation text; translate then uses it automatically.

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
    if to == "ct2":
        from a2d_cli.commands.opened_model import name_of_export

        name = shlex.quote(name_of_export(context.obj, exported))
        tell_next(context.obj, f"translate --model {name} < input.txt")
    else:
        print(f"next: {os.path.relpath(exported.folder)}/README.md says how to use it", file=sys.stderr)


def bench(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Run names, or folders of runs, checkpoints or exports (default: all finished runs).",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Untrained shapes: mini,tiny,small,base,paper or LAYERS-LAYERS; KEY=VALUE after one changes it.",
        ),
    ] = None,
    sentences: Annotated[int, typer.Option(metavar="N", min=1, help="Number of test sentences, evenly spaced.")] = 200,
    beam: Annotated[str, typer.Option("-b", "--beam", metavar="N,…", help="Beam sizes.")] = "1,5",
    batch_size: Annotated[str, typer.Option(metavar="N,…", help="Sentences translated at once.")] = "1,32",
    engine: Annotated[str, typer.Option(metavar="NAME,…", help="torch, ct2 or both.")] = "torch,ct2",
    precision: Annotated[
        str, typer.Option(metavar="TYPE,…", help="Of ct2 models: float32, int8 or both; exports keep theirs.")
    ] = "float32,int8",
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="CPU threads.")] = 1,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds of measurement; medians are reported.")] = 3,
    as_json: Json = False,
) -> None:
    """Measure size, memory and speed of models on this CPU.

    By engine and quantization; speed is per core.

    Examples: a2d bench
              a2d bench --preset tiny,small,base,paper,6-6
    """
    from a2d_cli.commands import bench as command
    from a2d_cli.commands.option_lists import read_names, read_numbers

    settings = command.BenchSettings(
        engines=read_names("--engine", engine, tuple(command.ENGINES)),
        precisions=read_names("--precision", precision, command.PRECISIONS),
        beams=read_numbers("--beam", beam),
        batch_sizes=read_numbers("--batch-size", batch_size),
        sentences=sentences,
        rounds=rounds,
        threads=threads,
    )
    report = command.bench(context.obj, models or [], preset, settings, make_reporter())
    if as_json:
        print_json(report.to_json())
    else:
        print_one(report.table())
