"""`a2d status`: what is done, what comes next, where things are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2d_cli.project.exported import list_exports
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, list_runs


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

    def rows(self) -> list[tuple[str, str, str]]:
        return [(line.what, line.state, line.where) for line in self.lines]

    def to_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "lines": [asdict(line) for line in self.lines], "next": self.next_command}


def project_status(project: Project) -> StatusReport:
    """Read the folder; a folder that is no project is a fine answer too."""
    state = project.state()
    if "prepared" not in state:
        begun = StatusLine("data", "begun, not ended" if state else "nothing prepared", str(project.data_dir))
        return StatusReport(project.folder, (begun,), project.command("prepare RECIPE"))
    lines = [StatusLine("data", f"prepared: {state.get('recipe', '?')}", _short(project, project.report_path))]
    runs = list_runs(project)
    lines += [StatusLine(_title(run), _run_state(run), _short(project, run.folder)) for run in runs]
    lines += [
        StatusLine(f"export of {each.manifest.name}", f"{each.manifest.to} {each.manifest.quantization}", _short(project, each.folder))
        for each in list_exports(project)
    ]
    scored = sorted(project.scores_dir.glob("results.jsonl"))
    lines += [StatusLine("scores", "cached", _short(project, path)) for path in scored]
    return StatusReport(project.folder, tuple(lines), _next(project, runs, bool(scored)))


def _title(run: Run) -> str:
    kind = run.info.get("kind", "run")
    return run.name if run.name == kind else f"{kind} {run.name}"


def _run_state(run: Run) -> str:
    info = run.info
    best = info.get("best") or {}
    score = "" if best.get("bleu") is None else f", valid BLEU {best['bleu']:.1f}"
    if "imported_from" in info:
        return f"imported from {info['imported_from']}"
    if info.get("finished"):
        return f"finished: {info['updates']} updates in {info['elapsed_s'] / 60:.1f} min{score}"
    last = max((row["update"] for row in run.metrics()), default=0)
    return f"unfinished, at about update {last}{score}: {info.get('command', '')}"


def _next(project: Project, runs: list[Run], scored: bool) -> str:
    unfinished = [run for run in runs if not run.is_finished]
    if unfinished and "command" in unfinished[0].info:
        return unfinished[0].info["command"]
    if not any(run.info.get("kind") == "teacher" for run in runs):
        return project.command("train-teacher")
    if not any(run.info.get("kind") == "student" for run in runs):
        return project.command("distill")
    return project.command("translate < input.txt" if scored else "score")


def _short(project: Project, path: Path) -> str:
    return str(path.relative_to(project.folder))
