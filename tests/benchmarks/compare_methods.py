"""Distil one student a method and seed in a prepared project with a trained teacher, and print the table of recipes/README.md.

    python tests/benchmarks/compare_methods.py PROJECT --test-set test_2016_flickr --seeds 1 2 3 --jobs 2

Each run is `a2d distill` in a process of its own with `--threads` threads; `--jobs` of them at a time. What is finished is
not run again, so the same command goes on after an interruption. Scores come from `a2d score --json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

METHODS = ("ce", "word", "a2d-release", "a2d-masked", "a2d-simplex")
# Two-sided 5 % points of Student's t with 1, 2, … degrees of freedom: what n seeds can tell apart.
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)


@dataclass(frozen=True)
class Result:
    method: str
    seed: int
    bleu: float
    chrf: float
    valid_loss: float  # nats per target token
    minutes: float


def a2d(project: Path, *arguments: str, threads: int) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "a2d_cli", "-C", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def run_name(method: str, seed: int) -> str:
    return f"{method}-seed{seed}"


def read_results(project: Path, table: dict, methods: list[str], seeds: list[int], test_set: str) -> list[Result]:
    rows = {row["model"]: row for row in table["rows"] if row["test_set"] == test_set}
    results = []
    for method in methods:
        for seed in seeds:
            name = run_name(method, seed)
            info = json.loads((project / "runs" / name / "run.json").read_text())
            scores = {score["name"]: score["score"] for score in rows[name]["scores"]}
            results.append(
                Result(method, seed, scores["BLEU"], scores["chrF2"], info["best"]["loss"], info["elapsed_s"] / 60)
            )
    return results


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def difference(results: list[Result], method: str, baseline: str) -> str:
    """Mean paired difference in BLEU over seeds, with its 95 % confidence half-width."""
    own = {r.seed: r.bleu for r in results if r.method == method}
    base = {r.seed: r.bleu for r in results if r.method == baseline}
    deltas = [own[seed] - base[seed] for seed in sorted(own.keys() & base.keys())]
    if method == baseline or len(deltas) < 2:
        return "–"
    half = T_95[len(deltas) - 2] * statistics.stdev(deltas) / math.sqrt(len(deltas))
    return f"{statistics.mean(deltas):+.2f} ± {half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--test-set", required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()

    settings = [part for setting in options.settings for part in ("--set", setting)]
    jobs = [(method, seed) for seed in options.seeds for method in options.methods]  # a seed's methods side by side

    def train(job: tuple[str, int]) -> None:
        method, seed = job
        arguments = ["distill", "--method", method, "--seed", str(seed), "--name", run_name(method, seed), *settings]
        a2d(options.project, *arguments, threads=options.threads)
        print(f"done: {run_name(method, seed)}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(train, jobs))

    table = json.loads(a2d(options.project, "score", "--test-set", options.test_set, "--json", threads=os.cpu_count() or 1))
    results = read_results(options.project, table, options.methods, options.seeds, options.test_set)
    (options.project / "comparison.json").write_text(json.dumps([vars(result) for result in results], indent=2))
    print("| method | BLEU | chrF2 | valid loss (nats) | Δ BLEU to ce | Δ BLEU to word | minutes a run |")
    print("|---|---|---|---|---|---|---|")
    for method in options.methods:
        mine = [result for result in results if result.method == method]
        cells = [
            f"`{method}`",
            spread([r.bleu for r in mine]),
            spread([r.chrf for r in mine]),
            spread([r.valid_loss for r in mine]),
            difference(results, method, "ce"),
            difference(results, method, "word"),
            f"{statistics.mean([r.minutes for r in mine]):.1f}",
        ]
        print("| " + " | ".join(cells) + " |")
    for row in table["rows"]:
        if row["model"] == "teacher" and row["test_set"] == options.test_set:
            scores = ", ".join(f"{score['name']} {score['score']:.2f} ({score['signature']})" for score in row["scores"])
            print(f"\nteacher: {scores}")


if __name__ == "__main__":
    main()
