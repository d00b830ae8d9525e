"""`a2d status`: what is done, what comes next, where things are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2d_cli.commands.compare_record import comparisons_dir
from a2d_cli.commands.preparation import changes_since
from a2d_cli.commands.provenance import what_changed_since
from a2d_cli.config.catalog import find_recipe
from a2d_cli.config.keys import first_of
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import Distillation
from a2d_cli.data.report import Report
from a2d_cli.distillation.pseudo_corpus import read_index
from a2d_cli.errors import A2DError
from a2d_cli.files import holding_process
from a2d_cli.project.exported import MANIFEST, manifests, read_export
from a2d_cli.project.project import Project
from a2d_cli.project.run import WEIGHTS, Run, broken_runs, list_runs
from a2d_cli.reporting import count_text, duration_text

BROKEN = "broken: "


@dataclass(frozen=True)
class StatusLine:
    what: str
    state: str
    where: str


@dataclass(frozen=True)
class StatusReport:
    folder: Path
    lines: tuple[StatusLine, ...]
    next_command: str
    waits_for: str = ""  # what must happen before that command can run

    @property
    def note(self) -> str:
        return f"next, when {self.waits_for}: {self.next_command}" if self.waits_for else f"next: {self.next_command}"

    def rows(self) -> list[tuple[str, str, str]]:
        return [(line.what, line.state, line.where) for line in self.lines]

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "lines": [asdict(line) for line in self.lines],
            "next": self.next_command,
            "waits_for": self.waits_for or None,
        }


def project_status(project: Project) -> StatusReport:
    """Read the folder; a folder that is no project is a fine answer too."""
    state = project.state()
    runs = list_runs(project)
    changed = what_changed_since(project, runs)
    states = [filter(None, (_known_state(run), changed.get(run.name))) for run in runs]
    run_lines = [
        StatusLine(_title(run), "; ".join(state), _short(project, run.folder))
        for run, state in zip(runs, states, strict=True)
    ]
    broken = broken_runs(project)
    run_lines += [
        StatusLine(run.name, _broken(run.problem, run.info_path), _short(project, run.folder)) for run in broken
    ]
    if "prepared" not in state:
        preparing = holding_process(project.folder)
        begun = "begun, not ended" if state else "nothing prepared"
        data = StatusLine(
            "data", f"being prepared now (process {preparing})" if preparing else begun, str(project.data_dir)
        )
        if preparing:
            return StatusReport(project.folder, (data, *run_lines), _next(project, runs, False), "it is prepared")
        return StatusReport(project.folder, (data, *run_lines), _prepare_command(project, state, runs))
    lost, problems = _lost_files(project), _recipe_problems(project)
    data = f"prepared: {state.get('recipe', '?')}"
    preparing = holding_process(project.folder) if state.get("preparing") else None
    if state.get("preparing"):
        data += f"; being prepared anew (process {preparing})" if preparing else f"; not ended: {state['preparing']}"
    if lost:
        data += f"; gone or changed since: {first_of([_short(project, path) for path in lost])}"
    lines = [StatusLine("data", data, _short(project, project.report_path))]
    lines += [StatusLine("recipe", problem, _short(project, project.recipe_path)) for problem in problems]
    lines += run_lines
    lines += [_export_line(project, path.parent) for path in manifests(project)]
    scored = sorted(project.scores_dir.glob("results.jsonl"))
    lines += [StatusLine("scores", "cached", _short(project, path)) for path in scored]
    lines += [_pseudo_line(project, path) for path in sorted(project.pseudo_dir.glob("*/pseudo.json"))]
    if comparisons := list(comparisons_dir(project).glob("*.json")):
        kept = f"{len(comparisons)} kept, told by 'a2d report'"
        lines.append(StatusLine("comparisons", kept, _short(project, comparisons_dir(project))))
    in_training = [run for run in runs if holding_process(run.folder)]
    stopped = [
        run.info["command"] for run in runs if not (run.is_finished or run in in_training) and "command" in run.info
    ]
    if preparing:
        return StatusReport(project.folder, tuple(lines), _next(project, runs, bool(scored)), "it is prepared")
    if state.get("preparing") and all("imported_from" in run.info for run in runs):  # else it would be refused
        return StatusReport(project.folder, tuple(lines), state["preparing"])
    if lost:
        return StatusReport(project.folder, tuple(lines), project.command("prepare"))
    if any(problem.startswith(BROKEN) for problem in problems):
        command = stopped[0] if stopped else _next(project, runs, bool(scored))
        return StatusReport(project.folder, tuple(lines), command, f"{project.recipe_path.name} is mended")
    if (run := _to_train_anew(runs, changed)) and (command := run.info.get("command", "")):
        if run.is_of_comparison:  # whose command replaces no run
            return StatusReport(project.folder, tuple(lines), command, "the runs of that kind are moved out of runs/")
        anew = "" if "--overwrite" in command.split() else " --overwrite"
        return StatusReport(project.folder, tuple(lines), command + anew)
    if stopped:
        return StatusReport(project.folder, tuple(lines), stopped[0])
    if state.get("comparing") and not in_training:
        return StatusReport(project.folder, tuple(lines), state["comparing"])
    waits_for = [f"{run.name} is trained" for run in in_training]
    if not any(run.info.get("kind") == "teacher" for run in runs):
        waits_for += [f"{run.name} is mended" for run in broken if run.name == Distillation().teacher]
    return StatusReport(project.folder, tuple(lines), _next(project, runs, bool(scored)), " and ".join(waits_for))


def _lost_files(project: Project) -> list[Path]:
    try:
        return Report(project.report_path).lost_files()
    except A2DError:
        return [project.report_path]


def _recipe_problems(project: Project) -> list[str]:
    """What keeps a2d.yaml from being read, or what it says otherwise than when the data were prepared."""
    try:
        changes = changes_since(project, read_project_recipe(project.recipe_path))
    except A2DError as error:
        return [_broken(error, project.recipe_path)]
    return [f"changed since the data were prepared: {first_of(changes)}"] if changes else []


def _to_train_anew(runs: list[Run], changed: dict[str, str]) -> Run | None:
    """The first run that is in everybody's way: a teacher, or a student where all students are."""
    for kind in ("teacher", "student"):
        finished = [run for run in runs if run.is_finished and run.info.get("kind") == kind]
        if finished and all(run.name in changed for run in finished):
            return finished[0]
    return None


def _title(run: Run) -> str:
    kind = run.info.get("kind", "run")
    return run.name if run.name == kind else f"{kind} {run.name}"


def _known_state(run: Run) -> str:
    try:
        return _run_state(run)
    except A2DError as error:  # of last/, which tells where an unfinished one goes on
        return f"{BROKEN}{error.message}"


def _run_state(run: Run) -> str:
    info = run.info
    best = info.get("best") or {}
    score = "" if best.get("bleu") is None else f", valid BLEU {best['bleu']:.1f}"
    if "imported_from" in info:
        return f"imported from {info['imported_from']}"
    if process := holding_process(run.folder):
        return f"training now (process {process}), saved at update {run.saved_update}{score}"
    if info.get("finished") and not (run.best_dir / WEIGHTS).is_file():
        return f"finished, but its weights are gone: no {run.best_dir.name}/{WEIGHTS}"
    if info.get("finished"):
        return f"finished: {count_text(info['updates'], 'update')} in {duration_text(info['elapsed_s'])}{score}"
    return f"unfinished, goes on at update {run.saved_update}{score}"


def _export_line(project: Project, folder: Path) -> StatusLine:
    try:
        manifest = read_export(folder).manifest
    except A2DError as error:
        return StatusLine(f"export {folder.name}", _broken(error, folder / MANIFEST), _short(project, folder))
    return StatusLine(f"export of {manifest.name}", f"{manifest.to} {manifest.quantization}", _short(project, folder))


def _pseudo_line(project: Project, path: Path) -> StatusLine:
    what = "teacher's words"
    try:
        index = read_index(path)
    except A2DError as error:
        return StatusLine(what, _broken(error, path), _short(project, path.parent))
    done, total = sum(shard.lines for shard in index.shards.values()), index.origin["text"]["num_pairs"]
    state = f"{total:,} sentences translated" if done == total else f"{done:,} of {total:,} sentences translated"
    return StatusLine(what, state, _short(project, path.parent))


def _broken(problem: A2DError, path: Path) -> str:
    return BROKEN + problem.message.removeprefix(f"{path}: ")


def _prepare_command(project: Project, state: dict[str, Any], runs: list[Run]) -> str:
    """As typed if it was interrupted; else with the recipe that is known, and an imported teacher's tokenizer."""
    if state.get("preparing"):
        return state["preparing"]
    if project.recipe_path.exists():
        return project.command("prepare")
    try:
        recipe = state.get("recipe", "RECIPE")
        find_recipe(recipe)
    except A2DError:
        recipe = "RECIPE"
    imported = next((run.name for run in runs if "imported_from" in run.info), None)
    return project.command(f"prepare {recipe} --tokenizer-from {imported}" if imported else f"prepare {recipe}")


def _next(project: Project, runs: list[Run], scored: bool) -> str:
    """What is to be done when every run is finished."""
    teachers = [run.name for run in runs if run.info.get("kind") == "teacher"]
    if not teachers:
        return project.command("train-teacher")
    if not any(run.info.get("kind") == "student" for run in runs):
        default = Distillation().teacher
        return project.command("distill" if default in teachers else f"distill --teacher {teachers[0]}")
    if not scored:
        return project.command("score")
    return project.command("translate < input.txt" if manifests(project) else "export")


def _short(project: Project, path: Path) -> str:
    return str(path.relative_to(project.folder))
