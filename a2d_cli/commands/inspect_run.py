"""`a2d inspect`: which student heads stand in for which teacher heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from a2d_cli.commands.inspect_report import KIND_TITLES, Inspection, Sentence, SentenceMaps
from a2d_cli.commands.teachers import matching_teacher
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.method_name import terms_of
from a2d_cli.config.schema import Recipe
from a2d_cli.data.batching import Batch, BatchPlan, BatchSettings, SpecialIds, pad_batch
from a2d_cli.data.corpus import EncodedText, evenly_spaced
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.decoding.translator import Translator
from a2d_cli.distillation.aligned_attention import AlignedAttention
from a2d_cli.distillation.ensemble import EnsembleTeacher, one_teacher
from a2d_cli.distillation.inspection import (
    Alignment,
    GradientShare,
    Head,
    InspectedAligner,
    gradient_share,
    head_maps,
    heads_of,
    measure_alignments,
)
from a2d_cli.distillation.methods import Method, parse_method
from a2d_cli.distillation.objective import (
    CALIBRATION_BATCHES,
    CALIBRATION_SENTENCES,
    DistillationObjective,
    objective_of,
)
from a2d_cli.distillation.released_objective import ReleaseObjective
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import sha256_file
from a2d_cli.model.attention import KINDS, MapForm
from a2d_cli.project.checkpoint import Checkpoint, load_checkpoint, load_weights, read_weights
from a2d_cli.project.project import Project
from a2d_cli.project.run import (
    WEIGHTS,
    Run,
    choose_aligned,
    find_checkpoint,
    find_model,
    find_weights,
    list_runs,
    teacher_digits,
)
from a2d_cli.reporting import Reporter, count_text
from a2d_cli.training.distributed import choose_device

VALID_PAIRS = 500  # of the validation text, evenly spread
BATCH_TOKENS = 2048  # the maps of all heads of both models live at once
EXTREMES = ("best", "worst")  # what `--head` calls the heads of the smallest and the largest residual
START, END = "<s>", "</s>"
CONTROLS = {
    "a2d-frozen": "its aligners were drawn, not learned",
    "a2d-diagonal-frozen": "its aligners stayed as they began",
    **dict.fromkeys(("a2d-shuffled", "a2d-diagonal-shuffled"), "its aligners learned maps of other sentences"),
    **dict.fromkeys(("a2d-uniform", "a2d-diagonal-uniform"), "its aligners learned uniform maps, not the teacher's"),
}


@dataclass(frozen=True)
class SentenceRequest:
    """A sentence to look at; kinds and heads as typed, where empty: all kinds, the best and the worst head."""

    src: str
    tgt: str | None = None  # None: the student's own translation
    kinds: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()  # LAYER.HEAD of the teacher, best or worst


@dataclass(frozen=True)
class _Opened:
    """A run, its teacher, and what it learned by, read back as they were after its last update."""

    run: Run
    recipe: Recipe
    student: Checkpoint
    teacher: Teacher | EnsembleTeacher
    teacher_name: str
    update: int
    objective: DistillationObjective | ReleaseObjective
    aligned: tuple[InspectedAligner, ...]
    device: torch.device

    @property
    def ids(self) -> SpecialIds:
        return SpecialIds.of(self.student.tokenizer)

    @property
    def longest(self) -> int:
        """Tokens a side that all models read, end mark counted."""
        return min(shape.max_positions for shape in (self.student.model.shape, *self.teacher.shapes.members))


def inspect_run(
    project: Project, name: str | None, sentence: SentenceRequest | None, device: str, reporter: Reporter
) -> Inspection:
    """Measure a student's aligners on validation text, and look at a sentence.

    Args:
        name: run name or run folder; None: as `choose_aligned` chooses.

    Raises:
        ConfigError: no such run, or one without aligners (names some that have), or an unknown kind or head.
        A2DError: its teacher is gone or has changed, or a file that cannot be read.
    """
    project.require_prepared()
    run, why = find_aligned_run(project, name)
    opened = _open(project, run, choose_device(device))
    aligned = opened.aligned
    if sentence:
        _check_request(sentence, opened, aligned)
    reporter.info(f"inspecting {opened.run.folder} after update {opened.update:,}{why and f': {why}'}")
    text = _validation_text(project, opened)
    settings = BatchSettings(max(BATCH_TOKENS, opened.longest), CALIBRATION_SENTENCES, opened.longest)
    plan = BatchPlan(text, opened.ids, settings, seed=0)
    chosen = plan.in_order()
    with reporter.progress("maps of validation text", len(chosen), "batches") as progress:

        def batches() -> Iterator[Batch]:
            for indices in chosen:
                yield plan.load(indices).to(opened.device)
                progress.advance()

        alignments = measure_alignments(opened.student.model, opened.teacher, aligned, batches())
    some = chosen[:: -(-len(chosen) // CALIBRATION_BATCHES)]
    parts = [plan.load(indices).to(opened.device) for indices in some]
    gradient = _measure_gradient(opened, parts)
    return Inspection(
        run=opened.run.name,
        folder=str(opened.run.folder),
        method=parse_method(opened.recipe.distillation).name,
        pair=opened.recipe.pair,
        teacher=opened.teacher_name,
        update=opened.update,
        num_pairs=len(text) - plan.num_left_out,
        alignments=tuple(alignments),
        gradient=gradient,
        sentence=_look_at(sentence, opened, aligned, alignments) if sentence else None,
        notes=tuple(_notes(opened, plan.num_left_out, gradient)),
    )


def find_aligned_run(project: Project, name: str | None) -> tuple[Run, str]:
    """A run that has learned by aligners; where none is named: one that is chosen, and why.

    Raises:
        ConfigError: no such run, or it has none (says what it is, and which runs have).
    """
    runs = list_runs(project)
    if name is None:
        chosen = choose_aligned(runs)
        if chosen is None:
            message = f"{project.folder}: no student here has learned an alignment"
            raise ConfigError(message, project.command("distill --method a2d"))
        return chosen
    folder = find_model(project, name)
    run = next((Run(place) for place in (folder, folder.parent) if Run(place).info), None)
    if run is None:
        raise ConfigError(
            f"{folder} is no run folder: alignments stand beside a run's weights", "name a run, or its folder"
        )
    if run.has_aligners:
        return run, ""
    kind, method = run.info["kind"], run.info["method"]
    if any(term.startswith("a2d") for term in terms_of(method)):
        raise _missing(run, "aligner.*.safetensors")
    having = [each.name for each in runs if each.has_aligners]
    what = "a teacher" if kind == "teacher" else f"a {kind} of method {method}, which aligns no heads"
    hint = (
        f"inspect {', '.join(having)}" if having else f"train one that does: {project.command('distill --method a2d')}"
    )
    raise ConfigError(f"run '{run.name}' is {what}: there is no alignment to inspect", hint)


def _missing(run: Run, name: str) -> A2DError:
    message = f"{run.folder / name}: missing, though run '{run.name}' has learned by {run.info['method']}"
    return A2DError(message, "copy the whole run folder again")


def _open(project: Project, run: Run, device: torch.device) -> _Opened:
    # Aligners are saved with the last weights, which need not be the best: what belongs together is looked at.
    student = load_checkpoint(run.last_dir if (run.last_dir / WEIGHTS).is_file() else run.folder, device)
    recipe = read_project_recipe(run.recipe_path)
    if student.tokenizer.fingerprint != Tokenizer.load(project.data_dir).fingerprint:
        raise ConfigError(
            f"run '{run.name}' has another vocabulary than {project.folder}", "name its own project with -C DIR"
        )
    checkpoints = _teachers_of(project, run, recipe)
    form = MapForm(recipe.distillation.map_form, recipe.distillation.map_temperature)
    teacher = one_teacher([Teacher(checkpoint.model.to(device), form) for checkpoint in checkpoints])
    objective = objective_of(student.model, teacher, recipe.distillation, recipe.student_training).to(device)
    aligned = []
    for each in _aligners(objective, parse_method(recipe.distillation)):
        start = each.shares()  # drawn from the seed, it is now what it was before training
        aligned.append(replace(each, start=start if bool(start.any()) else None))
    for name, module in objective.helper_modules().items():
        path = run.folder / f"{name}.safetensors"
        if not path.exists():
            raise _missing(run, path.name)
        load_weights(module, read_weights(path), str(path))
    names = " + ".join(checkpoint.folder.parent.name for checkpoint in checkpoints)
    update = int(student.config.get("update", run.info.get("updates", 0)))
    return _Opened(run, recipe, student, teacher, names, update, objective, tuple(aligned), device)


def _teachers_of(project: Project, run: Run, recipe: Recipe) -> list[Checkpoint]:
    """The weights that the run learned from: of one teacher, or of an ensemble's members."""
    hashes, names = teacher_digits(run.info).split(","), recipe.distillation.teachers
    folders = [_teacher_folder(project, run, *each) for each in zip(hashes, names, strict=True)]
    return [matching_teacher(project, recipe, folder) for folder in folders]


def _teacher_folder(project: Project, student: Run, digits: str, name: str) -> Path:
    """The folder of a teacher by the hash of its weights, wherever in the project it lies now, or by its name.

    Raises:
        A2DError: it is gone, or has other weights now.
    """
    if run := find_weights(project, digits):
        return run.folder
    try:
        folder = find_model(project, name)
    except ConfigError:
        message = f"run '{student.name}' was taught by weights {digits}, which no run of {project.folder} has"
        raise A2DError(message, f"put the run folder of its teacher '{name}' back into {project.runs_dir}") from None
    found = sha256_file(find_checkpoint(folder) / WEIGHTS)[:16]
    if found != digits:
        message = f"teacher {folder} has other weights ({found}) than those that taught run '{student.name}' ({digits})"
        raise A2DError(message, "put the teacher's run folder back as it was, or distil a new run and inspect that")
    return folder


def _aligners(objective: DistillationObjective | ReleaseObjective, method: Method) -> list[InspectedAligner]:
    if isinstance(objective, ReleaseObjective):
        (term,) = method.terms
        return [
            InspectedAligner(term.removeprefix("a2d-"), kind, aligner) for kind, aligner in objective.aligners.items()
        ]
    return [
        InspectedAligner(
            name.removeprefix("a2d-"), kind, aligner, isinstance(term, AlignedAttention) and term.profile.rows
        )
        for name, term in objective.terms.items()
        if isinstance(term.saved, nn.ModuleDict) and term.noun == "aligner"
        for kind, aligner in term.saved.items()
    ]


def _validation_text(project: Project, opened: _Opened) -> EncodedText:
    """At most VALID_PAIRS pairs, evenly spread."""
    languages = opened.recipe.src_lang, opened.recipe.tgt_lang
    sources, references = (project.read_text("valid", lang) for lang in languages)
    chosen = evenly_spaced(len(sources), VALID_PAIRS)
    return EncodedText([sources[i] for i in chosen], [references[i] for i in chosen], opened.student.tokenizer)


def _measure_gradient(opened: _Opened, batches: Sequence[Batch]) -> GradientShare | None:
    """At the weight that the terms had last; None: the run has logged none, or it would say nothing."""
    objective = opened.objective
    logged = [row["term_weight"] for row in opened.run.metrics() if "term_weight" in row]
    if isinstance(objective, ReleaseObjective) or not logged:
        return None
    objective.term_weight = logged[-1]
    return gradient_share(objective, objective.weight_at(opened.update), batches)


def _notes(opened: _Opened, num_left_out: int, gradient: GradientShare | None) -> Iterator[str]:
    settings, objective = opened.recipe.distillation, opened.objective
    best = opened.run.info.get("best", {}).get("updates", [opened.update])
    if best != [opened.update]:
        updates = ", ".join(f"{update:,}" for update in best)
        yield f"best/ is of update {updates}, the aligners of update {opened.update:,}: these weights are shown"
    if opened.teacher.form.kind != "plain":
        yield f"maps are {opened.teacher.form.name}, as the run has learned them"
    if isinstance(objective, ReleaseObjective) and objective.teacher_mixers is not None:
        yield "teacher_mix random: the aligners learned random sums of teacher heads, not the heads"
    if isinstance(objective, ReleaseObjective):
        yield "no share of the gradient is told: in this objective it grows with the sentences of a batch"
    elif gradient is None:
        yield "no share of the gradient is told: the run has logged no weight of its terms"
    control = next((term for term in parse_method(settings).terms if term in CONTROLS), None)
    if control:
        yield f"{control} is a control: {CONTROLS[control]}"
    if num_left_out:
        yield f"{count_text(num_left_out, 'pair')} over {opened.longest} tokens left out"


# --- a sentence


def _check_request(request: SentenceRequest, opened: _Opened, aligned: Sequence[InspectedAligner]) -> None:
    """Before anything is measured."""
    kinds = list(dict.fromkeys(each.kind for each in aligned))
    for kind in request.kinds:
        if kind not in KINDS:
            raise ConfigError(f"--kind {kind}: no kind of attention", f"one of {', '.join(kinds)}")
        if kind not in kinds:
            raise ConfigError(f"--kind {kind}: this run does not align it", f"it aligns {', '.join(kinds)}")
    for kind in request.kinds or kinds:
        heads = [str(head) for head in heads_of(kind, opened.teacher.shapes.members)]
        for name in request.heads:
            if name not in (*heads, *EXTREMES):
                raise ConfigError(
                    (
                        f"--head {name}: the teacher's {KIND_TITLES[kind]} has heads "
                        f"{heads[0]} to {heads[-1]} (LAYER.HEAD)"
                    ),
                    "or best, worst: of the smallest, the largest residual; --kind names the attention",
                )
    if not request.src.strip():
        raise ConfigError("--sentence is empty", "write one in the source language")
    request.src.encode()  # or it is told as what it is: bytes that are no text
    tokenizer = opened.student.tokenizer
    _check_length("--sentence", tokenizer.encode_src([request.src])[0], opened.longest)
    if request.tgt is not None:
        _check_length("--target", tokenizer.encode_tgt([request.tgt])[0], opened.longest)


def _look_at(
    request: SentenceRequest, opened: _Opened, aligned: Sequence[InspectedAligner], alignments: Sequence[Alignment]
) -> Sentence:
    tokenizer, ids = opened.student.tokenizer, opened.ids
    (src,) = tokenizer.encode_src([request.src])
    text = request.tgt
    if text is None:
        engine = TorchEngine(opened.student.model, ids)
        translator = Translator(engine, tokenizer, replace(opened.recipe.decoding, nbest=1))
        text = translator.translate([request.src])[0][0].text
    (tgt,) = tokenizer.encode_tgt([text])
    _check_length("the student's translation", tgt, opened.longest)
    batch = pad_batch([src], [tgt], ids).to(opened.device)
    src_tokens = (*tokenizer.cut_src(request.src), END)
    tgt_tokens = (*(tokenizer.tgt_pieces[i] for i in tgt), END)
    queries = {"encoder_self": src_tokens, "decoder_self": tgt_tokens, "cross": tgt_tokens}
    keys = {"encoder_self": src_tokens, "decoder_self": (START, *tgt_tokens[:-1]), "cross": src_tokens}
    maps = tuple(
        SentenceMaps(
            each.term,
            each.kind,
            each.is_mixture,
            queries[each.kind],
            keys[each.kind],
            head_maps(opened.student.model, opened.teacher, each, batch, wanted_heads(request.heads, alignment)),
        )
        for each, alignment in zip(aligned, alignments, strict=True)
        if each.kind in (request.kinds or KINDS)
    )
    return Sentence(request.src, text, request.tgt is None, maps)


def _check_length(option: str, ids: Sequence[int], longest: int) -> None:
    if len(ids) + 1 > longest:
        raise ConfigError(f"{option}: {len(ids)} tokens, the models read {longest - 1}", "shorten it")


def wanted_heads(names: Sequence[str], alignment: Alignment) -> list[Head]:
    """Teacher heads by LAYER.HEAD, best or worst; no names: the best and the worst."""
    ones = sorted(alignment.stand_ins, key=lambda one: one.residual)
    by_name = {str(one.teacher): one.teacher for one in alignment.stand_ins}
    by_name |= dict(zip(EXTREMES, (ones[0].teacher, ones[-1].teacher), strict=True))
    return list(dict.fromkeys(by_name[name] for name in names or EXTREMES))
