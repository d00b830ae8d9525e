"""`a2d compare`: methods side by side, equal in seeds, weights, batches and decoding, and what may be said of them."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timezone

from a2d_cli import __version__
from a2d_cli.commands.compare_fairness import (
    refuse_early_ends,
    refuse_other_settings,
    refuse_unequal,
    refuse_unequal_validations,
)
from a2d_cli.commands.compare_grid import Launch, train_grid
from a2d_cli.commands.compare_measure import Measurement
from a2d_cli.commands.compare_plan import Plan, Request, make_plan
from a2d_cli.commands.compare_record import Grid, KeptComparison, keep
from a2d_cli.commands.compare_report import Comparison
from a2d_cli.commands.distill import method_facts
from a2d_cli.commands.preparation import warn_of_changes
from a2d_cli.commands.pseudo import teacher_text
from a2d_cli.config.keys import unlike
from a2d_cli.distillation.methods import parse_method
from a2d_cli.distillation.pseudo_choice import TeacherText
from a2d_cli.errors import A2DError
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter


def compare(project: Project, request: Request, resume_command: str, reporter: Reporter) -> Comparison:
    """Train what is missing of the grid, measure every run on the test sets, and test the differences.

    Raises:
        ConfigError: unknown method, baseline, test set, teacher or key; runs with other settings than asked (names
            them).
        A2DError: runs failed, or are not comparable (names them).
        Interrupted: what is done so far is kept.
    """
    project.require_prepared()
    plan = make_plan(project, request, reporter)
    warn_of_changes(project, plan.recipe, reporter)  # runs say it in their logs alone
    refuse_early_ends(plan.recipe)
    texts = _teacher_texts(project, plan, resume_command, reporter)
    facts = {name: method_facts(own, plan.teachers, texts.get(name)) for name, own in plan.methods.items()}
    refuse_other_settings(project, plan.recipe, facts, plan.cells)
    refuse_unequal_validations(plan.recipe, plan.cells)
    if not all(cell.run.is_finished for cell in plan.cells):
        begin = {cell.method for cell in plan.cells if not cell.run.info}
        with project.lock(resume_command, shared=True):  # says once what would stop each run
            project.record(comparing=resume_command)  # for `a2d status`, should it be interrupted between two runs
            for text in (text for method, text in texts.items() if method in begin):
                text.fill()  # with all cores and a bar of its own
    named = {"--teacher": request.teacher, "--student": request.student}
    options = [part for option, value in named.items() if value for part in (option, value)]
    options += [part for setting in request.run_settings for part in ("--set", setting)]
    score_options = _score_options(plan) if request.jobs > 1 else ()
    unscored = Measurement(project, plan, reporter).unscored() if score_options else []
    launch = Launch(tuple(options), request.jobs, request.threads, resume_command, score_options)
    train_grid(project, plan.cells, unscored, launch, reporter)
    refuse_other_settings(project, plan.recipe, facts, plan.cells)  # a2d.yaml or a teacher may have changed meanwhile
    refuse_unequal_validations(plan.recipe, plan.cells)
    refuse_unequal(plan.cells)
    comparison = Measurement(project, plan, reporter).comparison()
    if project.state().get("comparing") == resume_command:  # and no other has begun meanwhile
        project.record(comparing=None)
    try:
        path = keep(project, _kept(project, plan, comparison, request.command(tuple(plan.methods), plan.lengths)))
        reporter.info(f"kept for 'a2d report': {path}")
    except A2DError as error:  # what was found is shown all the same
        reporter.warn(f"not kept for 'a2d report': {error}")
    return comparison


def _teacher_texts(project: Project, plan: Plan, resume_command: str, reporter: Reporter) -> dict[str, TeacherText]:
    """By method, of those that learn from their teacher's translations."""
    return {
        name: teacher_text(project, replace(plan.recipe, distillation=distillation), resume_command, reporter)
        for name, distillation in plan.methods.items()
        if parse_method(distillation).seq
    }


def _score_options(plan: Plan) -> tuple[str, ...]:
    """What makes `a2d score` translate as this process would, so that its results are found in scores/."""
    decoding = unlike(plan.decoding, replace(plan.recipe.decoding, nbest=1))
    options = [("--test-set", text.name) for text in plan.texts]
    options += [("--set", f"decoding.{key}={value}") for key, value in decoding.items()]
    return (
        *(part for option in options for part in option),
        "--device",
        plan.recipe.student_training.device,
        "--no-speed",
    )


def _kept(project: Project, plan: Plan, comparison: Comparison, command: str) -> KeptComparison:
    weights = {run.run: run.weights_sha256 for block in comparison.blocks for run in block.runs}
    for teacher, own in zip(plan.teachers, comparison.blocks[0].teachers, strict=True):
        if teacher.folder.resolve() == Run(project.runs_dir / own.model).best_dir.resolve():  # else it lies elsewhere
            weights[own.model] = own.weights_sha256
    return KeptComparison(
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        a2d=__version__,
        command=command,
        grid=Grid(
            plan.recipe.pair,
            asdict(plan.recipe.student),
            tuple(plan.methods),
            comparison.seeds,
            tuple(comparison.lengths),
            tuple(text.name for text in plan.texts),
            plan.baselines,
            tuple(teacher.weights_sha256[:16] for teacher in plan.teachers),
            asdict(plan.decoding),
            plan.label,
        ),
        weights=weights,
        texts={text.name: (text.src_sha256, text.tgt_sha256) for text in plan.texts},
        tables=tuple(comparison.tables()),
    )
