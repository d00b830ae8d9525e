"""The models of a comparison on its test sets: their translations scored, and teacher-forced losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import groupby

from a2d_cli import __version__, scoring
from a2d_cli.commands.compare_fairness import notes_on, what_was_trained
from a2d_cli.commands.compare_grid import Cell
from a2d_cli.commands.compare_plan import Plan
from a2d_cli.commands.compare_report import (
    Bootstrap,
    ComparedRuns,
    Comparison,
    MeasuredRun,
    MeasuredTeacher,
    contrasts,
)
from a2d_cli.commands.model_on_texts import ModelOnTexts, ScoreRow
from a2d_cli.commands.scored_text import ScoredText
from a2d_cli.data.batching import SpecialIds
from a2d_cli.data.corpus import EncodedText
from a2d_cli.distillation.ensemble import one_teacher
from a2d_cli.distillation.fidelity import FidelityTest
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.files import fingerprint
from a2d_cli.project.checkpoint import load_checkpoint
from a2d_cli.project.fidelity_cache import FidelityResult, open_fidelity_cache
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.project.score_cache import ScoreCache, ScoredModel, describe_model
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import ResampledScore
from a2d_cli.training.distributed import choose_device


class Measurement:
    """Of a plan's teachers and runs. What scores/ held when it was made is read back, the rest is measured and kept."""

    def __init__(self, project: Project, plan: Plan, reporter: Reporter):
        self._project, self._plan, self._reporter = project, plan, reporter
        self._cache = ScoreCache(project.scores_dir)

    def unscored(self) -> list[ScoredModel]:
        """Teachers and finished runs, where they have not translated all texts."""
        plan = self._plan
        folders = [
            *(teacher.folder for teacher in plan.teachers),
            *(cell.run.folder for cell in plan.cells if cell.run.is_finished),
        ]
        models = [describe_model(folder.absolute()) for folder in folders]
        return [model for model in models if not all(map(self._on_texts(model).has_translated, plan.texts))]

    def comparison(self) -> Comparison:
        """All of it, once every run is finished."""
        plan, recipe = self._plan, self._plan.recipe
        cells = sorted(plan.cells, key=lambda cell: cell.updates)  # stable: seed by seed as they were trained
        forced = _Forced(self._project, plan, self._reporter)
        models = {cell.run.name: describe_model(cell.run.folder.absolute()) for cell in cells}
        teachers = [describe_model(teacher.folder.absolute()) for teacher in plan.teachers]
        taught = [self._score(model) for model in teachers]
        rows = {name: self._score(model) for name, model in models.items()}
        blocks = []
        for text in plan.texts:
            measured_teachers = tuple(
                _measured_teacher(each[text.name], forced.measure(model, text))
                for model, each in zip(teachers, taught, strict=True)
            )
            measured = [
                _measured_run(cell, rows[cell.run.name][text.name], forced.measure(models[cell.run.name], text))
                for cell in cells
            ]
            for updates, group in groupby(measured, key=lambda run: run.updates):
                runs = list(group)
                found = contrasts(runs, plan.baselines, self._bootstrap(runs, text, rows))
                blocks.append(ComparedRuns(text.name, len(text.src), updates, measured_teachers, tuple(runs), found))
        shape = recipe.student
        size = models[cells[0].run.name].parameters / 1e6
        scores = [score for by_text in (*taught, *rows.values()) for row in by_text.values() for score in row.scores]
        return Comparison(
            recipe.pair,
            f"{shape.encoder_layers}+{shape.decoder_layers} layers, d {shape.d_model}, {size:.1f} M",
            tuple(dict.fromkeys(cell.seed for cell in cells)),
            plan.decoding.beam,
            tuple(blocks),
            tuple(dict.fromkeys(f"{score.name}|{score.signature}" for score in scores)),
            (*what_was_trained(cells, recipe.student_training), *notes_on(cells, _teachers_start(plan)), *forced.notes),
        )

    def _on_texts(self, model: ScoredModel) -> ModelOnTexts:
        recipe = self._plan.recipe
        return ModelOnTexts(
            model, self._plan.decoding, recipe.student_training.device, recipe.tgt_lang, self._cache, self._reporter
        )

    def _score(self, model: ScoredModel) -> dict[str, ScoreRow]:
        """By test set."""
        on_texts = self._on_texts(model)
        return {text.name: on_texts.score(text, refresh=False) for text in self._plan.texts}

    def _bootstrap(
        self, runs: Sequence[MeasuredRun], text: ScoredText, rows: Mapping[str, Mapping[str, ScoreRow]]
    ) -> dict[tuple[str, str], Bootstrap]:
        """sacrebleu's paired test of BLEU, seed by seed and of the mean over seeds, by baseline and method.

        Args:
            rows: by run and test set.
        """
        tgt_lang = self._plan.recipe.tgt_lang
        draws: dict[tuple[str, int], ResampledScore] = {}
        with self._reporter.progress(f"paired bootstrap on {text.name}", len(runs), "runs") as progress:
            for run in runs:
                lines = self._cache.hypotheses(rows[run.run][text.name].result)
                draws[run.method, run.seed] = scoring.resample(lines, [text.tgt], tgt_lang=tgt_lang)
                progress.advance()
        methods, seeds = (list(dict.fromkeys(values)) for values in zip(*draws, strict=True))
        means = {method: scoring.mean_of([draws[method, seed] for seed in seeds]) for method in methods}
        return {
            (baseline, method): Bootstrap(
                tuple(scoring.compare(draws[baseline, seed], draws[method, seed]) for seed in seeds),
                scoring.compare(means[baseline], means[method]),
            )
            for baseline in self._plan.baselines
            for method in methods
        }


def _teachers_start(plan: Plan) -> set[str]:
    """Hashes of the weights that the teachers began with, as far as they are runs of a2d."""
    infos = (Run(teacher.folder.parent).info for teacher in plan.teachers)
    return {info["initial_weights"] for info in infos if "initial_weights" in info}


def _measured_teacher(row: ScoreRow, forced: FidelityResult) -> MeasuredTeacher:
    bleu, chrf = (score.value for score in row.scores)
    return MeasuredTeacher(row.model.name, bleu, chrf, forced.nll, row.model.parameters, row.model.weights_sha256)


def _measured_run(cell: Cell, row: ScoreRow, forced: FidelityResult) -> MeasuredRun:
    info = cell.run.info
    bleu, chrf = (score.value for score in row.scores)
    return MeasuredRun(
        method=cell.method,
        updates=cell.updates,
        seed=cell.seed,
        run=cell.run.name,
        bleu=bleu,
        chrf=chrf,
        test_nll=forced.nll,
        kl=forced.kl,
        valid_nll=info["best"]["loss"],
        elapsed_s=info["elapsed_s"],
        peak_memory_bytes=info.get("peak_gpu_memory_bytes", info.get("peak_memory_bytes")),
        parameters=row.model.parameters,
        initial_weights=info["initial_weights"],
        weights_sha256=row.model.weights_sha256,
        hypotheses=row.result.hypotheses,
    )


class _Forced:
    """Teacher-forced measures, kept in scores/; teachers and text are read when the first is missing."""

    def __init__(self, project: Project, plan: Plan, reporter: Reporter):
        self._teachers, self._reporter = plan.teachers, reporter
        self._cache = open_fidelity_cache(project.scores_dir)
        self._device = choose_device(plan.recipe.student_training.device)
        shapes = [plan.recipe.student, *(teacher.model.shape for teacher in plan.teachers)]
        self._max_length = min(shape.max_positions for shape in shapes)
        self._teacher_sha256 = ",".join(teacher.weights_sha256 for teacher in plan.teachers)
        self._tests: dict[str, FidelityTest] = {}
        self._left_out: dict[str, int] = {}

    @property
    def notes(self) -> list[str]:
        return [
            f"{name}: {count} pairs are longer than {self._max_length} tokens: not in NLL and KL"
            for name, count in self._left_out.items()
            if count
        ]

    def measure(self, model: ScoredModel, text: ScoredText) -> FidelityResult:
        engine = f"torch {version('torch')} {self._device}"
        texts = text.src_sha256, text.tgt_sha256
        pieces = self._teachers[0].tokenizer.fingerprint  # of a cut vocabulary: other words to choose from
        key = fingerprint([model.identity, self._teacher_sha256, pieces, *texts, self._max_length, engine, __version__])
        result = self._cache.find(key) or self._ask(model, text, key, engine)
        self._left_out[text.name] = result.num_left_out
        return result

    def _ask(self, model: ScoredModel, text: ScoredText, key: str, engine: str) -> FidelityResult:
        if text.name not in self._tests:
            self._reporter.info(f"teacher-forced on {text.name}: what the teacher says")
            tokenizer = self._teachers[0].tokenizer
            teacher = one_teacher([Teacher(teacher.model.to(self._device)) for teacher in self._teachers])
            encoded = EncodedText(text.src, text.tgt, tokenizer)
            self._tests[text.name] = FidelityTest(
                encoded, SpecialIds.of(tokenizer), teacher, self._max_length, self._device
            )
        # A teacher of a cut vocabulary is the one that teaches, not the one on disk.
        own = {teacher.weights_sha256: teacher for teacher in self._teachers}
        found = self._tests[text.name]((own.get(model.weights_sha256) or load_checkpoint(model.folder)).model)
        result = FidelityResult(
            key=key,
            model=model.name,
            test_set=text.name,
            weights_sha256=model.weights_sha256,
            teacher_sha256=self._teacher_sha256,
            src_sha256=text.src_sha256,
            tgt_sha256=text.tgt_sha256,
            **asdict(found),
            engine=engine,
            a2d=__version__,
        )
        self._cache.add(result)
        return result
