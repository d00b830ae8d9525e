"""What scores/ of a project knows of its runs, for `a2d report`: nothing is translated or measured here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

from a2d_cli.commands.compare_report import PLAIN, spread
from a2d_cli.commands.report_chart import DotChart, Dots, Level
from a2d_cli.commands.report_comparisons import Comparisons, comparison_tables
from a2d_cli.commands.report_html import Block, Charts, Example, Examples, Fold, Missing, Paragraph
from a2d_cli.commands.report_runs import KnownRun
from a2d_cli.commands.score_files import signature_lines
from a2d_cli.commands.scored_result import ScoredResult, own_teacher
from a2d_cli.commands.table import Table
from a2d_cli.comparison import Sample, seeds_for_significance
from a2d_cli.config.keys import FREE_KEYS, differences, first_of
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.method_name import BASELINES
from a2d_cli.config.schema import Decoding
from a2d_cli.errors import A2DError
from a2d_cli.files import sha256_file
from a2d_cli.project.fidelity_cache import FidelityResult, open_fidelity_cache
from a2d_cli.project.project import Project
from a2d_cli.project.run import best_by_validation, find_model, is_taught_by, teacher_digits
from a2d_cli.project.score_cache import NO_SPEED, Result, ScoreCache
from a2d_cli.reporting import count_text

FEW_MODELS = 8  # so many are shown unfolded
FEW_METHODS = 4  # of a comparison that is proposed, at most
OF_METHODS = ("method", "teacher", "pseudo", "distillation")  # conditions of training that a method may have of its own
TEACHER_AHEAD, STUDENT_AHEAD = 10, 5  # sentences shown of each kind


@dataclass(frozen=True)
class ScoredRun(ScoredResult):
    """A run, or an export of its weights, on a test set."""

    known: KnownRun
    result: Result
    forced: FidelityResult | None  # None: not measured, as of exports

    @property
    def is_export(self) -> bool:
        return self.result.engine.startswith("ctranslate2")

    @property
    def is_student(self) -> bool:
        """As it was trained, not as it was exported."""
        return not self.known.is_teacher and not self.is_export

    @property
    def name(self) -> str:
        return self.result.model if self.is_export else self.known.name


@dataclass(frozen=True)
class Scores:
    """Results by test set, in the order of the runs; of a model and a decoding the latest."""

    alike: dict[str, list[ScoredRun]]  # of one decoding: what may be held side by side
    others: dict[str, list[ScoredRun]]  # of any other


def read_scores(project: Project, runs: Sequence[KnownRun], texts: Mapping[str, tuple[str, str]]) -> Scores:
    """What is held side by side is decoded as most models are, in a tie as the recipe says, else as was done last.

    Args:
        texts: SHA-256 of source and reference, by test set, as they are now.
    """
    wanted, scores = _decoding_of_recipe(project), Scores({}, {})
    for test_set, scored in _latest(project, runs, texts).items():
        counts = Counter(map(decoding_of, scored))
        by_age = sorted(scored, key=lambda each: each.result.translated_at, reverse=True)
        chosen = max(map(decoding_of, by_age), key=lambda decoding: (counts[decoding], decoding == wanted))
        for each in scored:
            side = scores.alike if decoding_of(each) == chosen else scores.others
            side.setdefault(test_set, []).append(each)
    return scores


def _decoding_of_recipe(project: Project) -> str:
    """As `decoding_of` tells one; empty: there is no recipe that can be read."""
    try:
        return _decoding_text(asdict(read_project_recipe(project.recipe_path).decoding))
    except A2DError:
        return ""


def _latest(
    project: Project, runs: Sequence[KnownRun], texts: Mapping[str, tuple[str, str]]
) -> dict[str, list[ScoredRun]]:
    cache, forced = ScoreCache(project.scores_dir), open_fidelity_cache(project.scores_dir).results.values()
    found: dict[str, list[ScoredRun]] = {}
    # Whoever had no teacher is held against the one that most have had.
    usual = Counter(filter(None, (teacher_digits(each.info) for each in runs))).most_common(1)
    for test_set, hashes in texts.items():
        for known in runs:
            digest = known.weights_sha256
            teacher = teacher_digits(known.info) or (usual[0][0] if usual else "")
            of_text = [each for each in cache.of_weights(digest) if (each.src_sha256, each.tgt_sha256) == hashes]
            fidelity = [
                each
                for each in forced
                if (each.weights_sha256, each.src_sha256, each.tgt_sha256) == (digest, *hashes)
                and (not teacher or _is_teacher(teacher, each.teacher_sha256))
            ]
            latest: dict[tuple[str, str], ScoredRun] = {}
            for result in sorted(of_text, key=lambda each: each.translated_at):
                scored = ScoredRun(known, result, fidelity[-1] if fidelity else None)
                latest[result.model if scored.is_export else "", decoding_of(scored)] = (
                    replace(scored, forced=None) if scored.is_export else scored
                )
            if latest:
                found.setdefault(test_set, []).extend(latest.values())
    return found


def _is_teacher(digits: str, sha256: str) -> bool:
    """Whether these are the first digits; of an ensemble's members in their order, with commas between."""
    pairs = zip_longest(digits.split(","), sha256.split(","), fillvalue="")
    return all(mine and theirs.startswith(mine) for mine, theirs in pairs)


def text_hashes(project: Project) -> dict[str, tuple[str, str]]:
    """SHA-256 of source and reference by name: the test sets first, for the validation text has chosen the weights."""
    prepared = project.state().get("prepared") or {}
    src, _, tgt = prepared.get("pair", "").partition("-")
    names = [*prepared.get("tests", []), "valid"]
    paths = {name: (project.text_path(name, src), project.text_path(name, tgt)) for name in names}
    return {name: (sha256_file(a), sha256_file(b)) for name, (a, b) in paths.items() if a.is_file() and b.is_file()}


def comparison_blocks(
    project: Project, runs: Sequence[KnownRun], comparisons: Comparisons, scores: Scores, colours: Mapping[str, int]
) -> tuple[Block, ...]:
    """What comparisons have found; levels over seeds where there are several, and every model, test set by test set."""
    blocks: list[Block] = [*comparison_tables(project, comparisons)]
    for test_set, scored in scores.alike.items():
        blocks += _levels(test_set, scored, comparisons, colours)
        table = _models(test_set, scored)
        blocks.append(table if len(scored) <= FEW_MODELS else Fold(f"All models on {test_set}", (table,)))
        if others := scores.others.get(test_set):
            blocks.append(Fold(f"Translated otherwise: {test_set}", (_models(test_set, others),)))
    return (*blocks, *_missing(project, runs, comparisons, scores.alike))


def _missing(
    project: Project, runs: Sequence[KnownRun], comparisons: Comparisons, scores: Mapping[str, list[ScoredRun]]
) -> Iterator[Missing]:
    """What a comparison would add."""
    if not scores:
        yield Missing("Scores of the models on the test sets:", project.command("score"))
        return
    students = [each for scored in scores.values() for family in families_of(scored).values() for each in family]
    is_compared = bool(comparisons.shown or comparisons.left_out)
    # Only what trained runs finds them again: their names and settings are its own.
    untold = [str(each.known.info.get("command")) for each in students if each.forced is None or not is_compared]
    commands = [each for each in dict.fromkeys(untold) if "compare" in each.split()]
    teacher = _teacher_option(project, runs, [each.known for each in students])
    if not (commands or is_compared or teacher is None):
        named = [str(each.known.info.get("method", "")) for each in students]
        trainable = [name for name in dict.fromkeys(named) if name and not name.endswith("-pseudo")]
        # Without the plain student nothing is claimed: the teacher must beat it.
        methods = list(dict.fromkeys([PLAIN, *sorted(trainable, key=lambda name: name not in BASELINES)]))[:FEW_METHODS]
        methods = methods if len(methods) > 1 else [*BASELINES, "a2d"]
        seeds = seeds_for_significance(len(methods) - 1)  # all the others against the first baseline
        command = project.command(f"compare --methods {','.join(methods)} --seeds {seeds}{teacher}")
        what = "What may be claimed of differences between methods, trained under equal conditions"
        yield Missing(
            f"{what} over {seeds} seeds, the fewest that can tell (which trains up to {len(methods) * seeds} runs):",
            command,
        )
    for command in commands:
        yield Missing("NLL on the references, KL to the teacher, and what may be claimed of differences:", command)


def _teacher_option(project: Project, runs: Sequence[KnownRun], students: Sequence[KnownRun]) -> str | None:
    """Of `a2d compare`: who taught these students teaches, else the recipe's teacher, else any; None: there is none."""
    teachers = [each for each in runs if each.is_teacher and each.weights_sha256]
    try:
        usual = read_project_recipe(project.recipe_path).distillation.teachers
        for name in usual:
            find_model(project, name)
    except A2DError:
        usual = ()
    digits = next(filter(None, (teacher_digits(each.info) for each in students)), "").split(",")
    own = tuple(each.name for part in digits for each in teachers if is_taught_by(part, each.weights_sha256))
    chosen = own or usual or tuple(each.name for each in teachers[:1])
    if not chosen:
        return None
    return "" if chosen == usual else f" --teacher {','.join(chosen)}"


def _models(test_set: str, scored: Sequence[ScoredRun]) -> Table:
    decodings = list(dict.fromkeys(map(decoding_of, scored)))
    columns = ["model", "method", "seed", "BLEU", "chrF2", "NLL", "KL to teacher", "params", "MB", "sent/s"]
    columns += ["decoding"] * (len(decodings) > 1)
    rows = []
    for each in scored:
        result, forced = each.result, each.forced
        measured = [f"{forced.nll:.3f}", "–" if each.known.is_teacher else f"{forced.kl:.3f}"] if forced else ["–", "–"]
        rows.append(
            [
                each.name,
                "–" if each.known.is_teacher else str(each.known.info.get("method")),
                str(each.known.info.get("seed", "–")),
            ]
            + [*(f"{score.value:.2f}" for score in each.scores), *measured]
            + [f"{result.parameters / 1e6:.2f} M", f"{result.file_bytes / 1e6:.1f}", result.speed_text]
            + [decoding_of(each)] * (len(decodings) > 1)
        )
    notes = [signature_lines(score for each in scored for score in each.scores)]
    if len(decodings) == 1:
        notes.append(f"decoding: {decodings[0]}")
    machines = dict.fromkeys(each.result.machine for each in scored if each.result.sentences_per_s is not None)
    notes += [f"sent/s: sentences per second on {'; on '.join(machines)}"] if machines else []
    notes += [NO_SPEED] if any(each.result.sentences_per_s is None for each in scored) else []
    if any(each.forced for each in scored):
        notes.append("NLL and KL(teacher ‖ student): nats per target token of the references, teacher-forced")
    return Table(f"{test_set}: {scored[0].result.sentences:,} sentences", columns, rows, "\n".join(notes))


def decoding_of(scored: ScoredRun) -> str:
    return _decoding_text(scored.result.decoding)


def _decoding_text(decoding: Mapping[str, Any]) -> str:
    """Beam and length penalty, and what else is not as usual."""
    unusual = {
        f"decoding.{key}" for key, value in decoding.items() if value != getattr(Decoding(), key, None)
    } - FREE_KEYS
    named = ["beam", "length_penalty", *(key for key in decoding if f"decoding.{key}" in unusual)]
    return ", ".join(f"{key.replace('_', ' ')} {decoding.get(key)}" for key in dict.fromkeys(named))


def _levels(
    test_set: str, scored: Sequence[ScoredRun], comparisons: Comparisons, colours: Mapping[str, int]
) -> Iterator[Block]:
    """Means over seeds, in numbers where no comparison tells them; nothing where each family has a single run."""
    families = families_of(scored)
    several = [each.name for runs in families.values() if len(runs) > 1 for each in runs]
    if not several:
        return
    unlike = {family: found for family, runs in families.items() if (found := _unlike(runs))}
    titles = {family: f"{family} (unlike runs)" if family in unlike else family for family in families}
    dots = []
    for family, runs in families.items():
        sample = Sample(tuple(each.bleu for each in runs))
        half_width = math.nan if family in unlike else sample.half_width
        dots.append(Dots(titles[family], sample.values, sample.mean, half_width, colours[family]))
    teacher = teacher_of(scored)
    title = f"{test_set}, {decoding_of(scored[0])}: BLEU, mean and 95 % interval over seeds"
    yield Charts((DotChart(title, dots, Level("teacher", teacher.bleu) if teacher else None),))
    if not comparisons.cover(test_set, several):
        columns = ["family", "method", "runs", "updates", "BLEU", "chrF2", "NLL", "KL to teacher"]
        num_seeds = len(_seeds(families))
        rows = [[titles[family], *_level_cells(runs, num_seeds)] for family, runs in families.items()]
        yield Table(f"{test_set}: levels over seeds", columns, rows, "\n".join(_level_notes(families, unlike)))


def families_of(scored: Sequence[ScoredRun]) -> dict[str, list[ScoredRun]]:
    """The students of each family, by seed."""
    families: dict[str, list[ScoredRun]] = {}
    for each in scored:
        if each.is_student:
            families.setdefault(each.known.family, []).append(each)
    return {family: sorted(runs, key=_seed) for family, runs in families.items()}


def _seed(scored: ScoredRun) -> int:
    return scored.known.info.get("seed") or 0


def _seeds(families: Mapping[str, list[ScoredRun]]) -> list[int]:
    return sorted({_seed(each) for runs in families.values() for each in runs})


def _level_cells(runs: Sequence[ScoredRun], num_seeds: int) -> list[str]:
    """Of a family, all but its name."""
    methods = dict.fromkeys(str(each.known.info.get("method")) for each in runs)
    updates = dict.fromkeys(f"{each.known.info.get('updates', 0):,}" for each in runs)
    of_all = f" of {num_seeds}" if len(runs) < num_seeds else ""
    forced = [each.forced for each in runs if each.forced]
    measured = [[each.nll for each in forced], [each.kl for each in forced]]
    return [
        *(" / ".join(methods), f"{len(runs)}{of_all}", " / ".join(updates)),
        *(
            spread(Sample(values), 2)
            for values in zip(*([score.value for score in each.scores] for each in runs), strict=True)
        ),
        *(spread(Sample(tuple(values)), 3) if len(forced) == len(runs) else "–" for values in measured),
    ]


def _level_notes(families: Mapping[str, list[ScoredRun]], unlike: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What the numbers are, and what keeps them from being levels of methods over seeds."""
    yield "family: runs whose names differ in the seed alone; BLEU, chrF2, NLL, KL: their mean ± standard deviation"
    for family, found in unlike.items():
        yield f"{family}: unlike runs, whose spread is not that of seeds alone: {first_of(found)}"
    (first, (plain, *_)), *others = families.items()
    for family, runs in others:
        if found := _changes(plain, runs[0], OF_METHODS):
            yield f"{family} and {first} were trained unlike each other in more than their methods: {first_of(found)}"
    seeds = _seeds(families)
    if any(len(runs) < len(seeds) for runs in families.values()):
        yield (
            f"… of {len(seeds)}: a mean over some of the seeds ({', '.join(map(str, seeds))}), "
            "hard to compare with the others"
        )
    yield "whether levels differ by more than chance, 'a2d compare' says"


def _unlike(runs: Sequence[ScoredRun]) -> list[str]:
    """What keeps runs of one family from being one training under several seeds; empty: nothing that can be seen."""
    return list(dict.fromkeys(change for each in runs[1:] for change in _changes(runs[0], each)))


def _changes(one: ScoredRun, other: ScoredRun, ignored: Collection[str] = ()) -> list[str]:
    """How the training of the other differed, but for its seed, as `key: its value -> that of the other`."""
    conditions = [
        {key: value for key, value in _conditions(each).items() if key not in ignored} for each in (one, other)
    ]
    return [f"{key}: {change}" for key, change in differences(*conditions).items() if key not in FREE_KEYS]


def _conditions(scored: ScoredRun) -> dict[str, Any]:
    info = scored.known.info
    settings = {key: value for key, value in info.get("settings", {}).items() if key != "decoding"}  # of validations
    return settings | {"method": info.get("method"), "updates": info.get("updates")}


def teacher_of(scored: Sequence[ScoredRun], student: ScoredRun | None = None) -> ScoredRun | None:
    """As `own_teacher`; without a student the first."""
    teachers = [each for each in scored if each.known.is_teacher and not each.is_export]
    digits = teacher_digits(student.known.info) if student else ""
    return own_teacher(digits, teachers)


def best_student(scored: Sequence[ScoredRun]) -> ScoredRun | None:
    """By validation, as where no model is named: the best by these very scores would owe some of its lead to chance."""
    students = {each.name: each for each in scored if each.is_student}
    if not students:
        return None
    chosen, _ = best_by_validation([each.known.run for each in students.values()], "students")
    return students[chosen.name]


def translation_blocks(project: Project, scores: Mapping[str, list[ScoredRun]]) -> tuple[Block, ...]:
    """Where the student best by validation and its teacher differ most, on the first test set both have translated."""
    for test_set, scored in scores.items():
        student = best_student(scored)
        teacher = teacher_of(scored, student)
        if teacher and student and (found := _examples(project, test_set, teacher, student)):
            ahead, behind = most_different(found)
            intro = (
                f"{test_set}, {decoding_of(student)}, teacher '{teacher.name}' and the student best by validation, "
                f"'{student.name}': sentences whose chrF differs most. "
                "Words that the reference has not, or not there, are marked."
            )
            shown: list[Block] = [Paragraph(intro)]
            for title, part in (("The teacher is ahead", ahead), ("The student is ahead", behind)):
                if part:
                    examples = Examples(tuple(part), *_languages(project), teacher.name, student.name)
                    shown.append(Fold(f"{title}: {count_text(len(part), 'sentence')}", (examples,), is_open=True))
            return tuple(shown)
    return (Missing("Translations of teacher and student to hold side by side:", project.command("score")),)


def most_different(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Those in which the teacher is ahead by most, and those in which the student is."""
    by_lead = sorted(examples, key=lambda each: each.student_chrf - each.teacher_chrf)
    ahead = [each for each in by_lead[:TEACHER_AHEAD] if each.student_chrf < each.teacher_chrf]
    behind = [each for each in reversed(by_lead[-STUDENT_AHEAD:]) if each.student_chrf > each.teacher_chrf]
    return ahead, behind


def _languages(project: Project) -> tuple[str, str]:
    src, _, tgt = project.state()["prepared"]["pair"].partition("-")
    return src, tgt


def _examples(project: Project, test_set: str, teacher: ScoredRun, student: ScoredRun) -> list[Example]:
    """Every sentence that they translate differently; none where their files are gone or are not what was scored."""
    from sacrebleu.metrics import CHRF

    chrf = CHRF()
    cache = ScoreCache(project.scores_dir)
    if any(cache.find(each.result.key) is None for each in (teacher, student)):
        return []
    texts = [project.read_text(test_set, lang) for lang in _languages(project)]
    lines = zip(*texts, cache.hypotheses(teacher.result), cache.hypotheses(student.result), strict=True)
    return [
        Example(src, ref, taught, learned, *(chrf.sentence_score(text, [ref]).score for text in (taught, learned)))
        for src, ref, taught, learned in lines
        if taught != learned
    ]
