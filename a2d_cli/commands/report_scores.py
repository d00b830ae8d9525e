"""What scores/ of a project knows of its runs, for `a2d report`: nothing is translated or measured here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from a2d_cli.commands.report_chart import DotChart, Dots, Level
from a2d_cli.commands.report_comparisons import Comparisons, comparison_tables
from a2d_cli.commands.report_html import Block, Charts, Example, Examples, Fold, Missing, Paragraph
from a2d_cli.commands.report_runs import KnownRun
from a2d_cli.commands.score_files import signature_lines
from a2d_cli.commands.table import Table
from a2d_cli.comparison import PairedTest, Sample, paired_tests, smallest_p_value
from a2d_cli.config.keys import FREE_KEYS
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.method_name import BASELINES
from a2d_cli.config.schema import Decoding
from a2d_cli.errors import A2DError
from a2d_cli.files import sha256_file
from a2d_cli.project.fidelity_cache import FidelityResult, open_fidelity_cache
from a2d_cli.project.project import Project
from a2d_cli.project.run import best_by_validation, find_model, is_taught_by
from a2d_cli.project.score_cache import NO_SPEED, Result, ScoreCache
from a2d_cli.reporting import count_text
from a2d_cli.scoring import Score

PLAIN = "ce"  # the method that others are held against
FEW_MODELS = 8  # so many are shown unfolded
FEW_METHODS, SEEDS = 4, 5  # of a comparison that is proposed, at most
TEACHER_AHEAD, STUDENT_AHEAD = 10, 5  # sentences shown of each kind


@dataclass(frozen=True)
class ScoredRun:
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

    @property
    def scores(self) -> list[Score]:
        """BLEU and chrF2."""
        return [Score(**values) for values in self.result.scores]

    @property
    def bleu(self) -> float:
        return self.scores[0].value


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
    for test_set, hashes in texts.items():
        for known in runs:
            digest = known.weights_sha256
            of_text = [each for each in cache.of_weights(digest) if (each.src_sha256, each.tgt_sha256) == hashes]
            fidelity = [each for each in forced if (each.weights_sha256, each.src_sha256, each.tgt_sha256) == (digest, *hashes)]
            latest: dict[tuple[str, str], ScoredRun] = {}
            for result in sorted(of_text, key=lambda each: each.translated_at):
                scored = ScoredRun(known, result, fidelity[-1] if fidelity else None)
                latest[result.model if scored.is_export else "", decoding_of(scored)] = replace(scored, forced=None) if scored.is_export else scored
            if latest:
                found.setdefault(test_set, []).extend(latest.values())
    return found


def text_hashes(project: Project) -> dict[str, tuple[str, str]]:
    """SHA-256 of source and reference, by test set."""
    prepared = project.state().get("prepared") or {}
    src, _, tgt = prepared.get("pair", "").partition("-")
    paths = {name: (project.text_path(name, src), project.text_path(name, tgt)) for name in prepared.get("tests", [])}
    return {name: (sha256_file(a), sha256_file(b)) for name, (a, b) in paths.items() if a.is_file() and b.is_file()}


def comparison_blocks(
    project: Project, runs: Sequence[KnownRun], comparisons: Comparisons, scores: Scores, colours: Mapping[str, int]
) -> tuple[Block, ...]:
    """What comparisons have found; methods by seeds where there are several, and every model, test set by test set."""
    blocks: list[Block] = [*comparison_tables(project, comparisons)]
    for test_set, scored in scores.alike.items():
        blocks += _methods(test_set, scored, comparisons, colours)
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
    groups = [group for scored in scores.values() for group in methods_of(scored).values()]
    students = [each.known for group in groups for each in group]
    teacher = _teacher_option(project, runs, students)
    if all(len(group) < 2 for group in groups) and teacher is not None and not comparisons.shown:
        named = [str(each.info.get("method", "")) for each in students]
        trainable = [name for name in dict.fromkeys(named) if name and not name.endswith("-pseudo")]
        methods = sorted(trainable, key=lambda name: name not in BASELINES)[:FEW_METHODS]
        methods = methods if len(methods) > 1 else [*BASELINES, "a2d"]
        command = project.command(f"compare --methods {','.join(methods)} --seeds {SEEDS}{teacher}")
        yield Missing(f"Methods under equal conditions over {SEEDS} seeds (which trains up to {len(methods) * SEEDS} runs):", command)
    # Only what trained runs finds them again: their names and settings are its own.
    unmeasured = [str(each.known.info.get("command")) for group in groups for each in group if each.forced is None]
    for command in [each for each in dict.fromkeys(unmeasured) if "compare" in each.split()]:
        yield Missing("NLL on the references, KL to the teacher, and what may be claimed of differences:", command)


def _teacher_option(project: Project, runs: Sequence[KnownRun], students: Sequence[KnownRun]) -> str | None:
    """Of `a2d compare`, so that who taught these students teaches, else the recipe's teacher, else any; None: there is none."""
    teachers = [each for each in runs if each.is_teacher and each.weights_sha256]
    try:
        usual = read_project_recipe(project.recipe_path).distillation.teachers
        for name in usual:
            find_model(project, name)
    except A2DError:
        usual = ()
    digits = next(filter(None, (each.info.get("settings", {}).get("teacher") for each in students)), "").split(",")
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
            [each.name, "–" if each.known.is_teacher else str(each.known.info.get("method")), str(each.known.info.get("seed", "–"))]
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
    unusual = {f"decoding.{key}" for key, value in decoding.items() if value != getattr(Decoding(), key, None)} - FREE_KEYS
    named = ["beam", "length_penalty", *(key for key in decoding if f"decoding.{key}" in unusual)]
    return ", ".join(f"{key.replace('_', ' ')} {decoding.get(key)}" for key in dict.fromkeys(named))


def _methods(
    test_set: str, scored: Sequence[ScoredRun], comparisons: Comparisons, colours: Mapping[str, int]
) -> Iterator[Block]:
    """Means over seeds, and differences to the plain student where no comparison tells more of them; nothing where each method
    has a single run."""
    groups = methods_of(scored)
    if all(len(runs) < 2 for runs in groups.values()):
        return
    samples = {method: Sample(tuple(each.bleu for each in runs)) for method, runs in groups.items()}
    teacher = teacher_of(scored)
    level = Level("teacher", teacher.bleu) if teacher else None
    dots = [Dots(method, sample.values, sample.mean, sample.half_width, colours[method]) for method, sample in samples.items()]
    title = f"{test_set}, {decoding_of(scored[0])}: BLEU, mean and 95 % interval over seeds"
    yield Charts((DotChart(title, dots, level),))
    if comparisons.cover(test_set, [each.name for runs in groups.values() if len(runs) > 1 for each in runs]):
        return
    tests, unlike = _tests(groups, samples)
    columns = ["method", "runs", "updates", "BLEU", "chrF2", "NLL", "KL to teacher"]
    columns += [f"Δ BLEU to {PLAIN}", "p", "p Holm"] if tests else []
    rows = []
    seeds = sorted({_seed(each) for runs in groups.values() for each in runs})
    for method, runs in groups.items():
        updates = " / ".join(dict.fromkeys(f"{each.known.info.get('updates', 0):,}" for each in runs))
        forced = [each.forced for each in runs if each.forced]
        is_whole = len(forced) == len(runs)
        of_all = f" of {len(seeds)}" if len(runs) < len(seeds) else ""
        row = [method, f"{len(runs)}{of_all}", updates, _spread(samples[method].values, 2)]
        row.append(_spread([each.scores[1].value for each in runs], 2))
        row += [_spread([each.nll for each in forced], 3), _spread([each.kl for each in forced], 3)] if is_whole else ["–", "–"]
        if tests:
            row += _difference(tests.get(method))
        rows.append(row)
    notes = _method_notes(tests, unlike)
    if any(len(runs) < len(seeds) for runs in groups.values()):
        notes.append(f"… of {len(seeds)}: a mean over some of the seeds ({', '.join(map(str, seeds))}), hard to compare with the others")
    yield Table(f"{test_set}: methods", columns, rows, "\n".join(notes))


def methods_of(scored: Sequence[ScoredRun]) -> dict[str, list[ScoredRun]]:
    """The students of each method, by seed."""
    students = [each for each in scored if each.is_student]
    groups: dict[str, list[ScoredRun]] = {}
    for each in students:
        groups.setdefault(each.known.family, []).append(each)
    return {method: sorted(runs, key=_seed) for method, runs in groups.items()}


def _seed(scored: ScoredRun) -> int:
    return scored.known.info.get("seed") or 0


def _tests(
    groups: Mapping[str, list[ScoredRun]], samples: Mapping[str, Sample]
) -> tuple[dict[str, PairedTest], list[str]]:
    """Each method against the plain student, seed by seed; and those that began or were trained unlike it."""
    plain = groups.get(PLAIN, [])
    if len(plain) < 2:
        return {}, []
    like = {
        method
        for method, runs in groups.items()
        if len(runs) == len(plain) and all(map(_are_comparable, runs, plain)) and _were_taught_alike(runs)
    }
    others = {method: sample for method, sample in samples.items() if method in like - {PLAIN}}
    return paired_tests(samples[PLAIN], others) if others else {}, [method for method in groups if method not in like]


def _are_comparable(one: ScoredRun, other: ScoredRun) -> bool:
    """Whether their difference is one of methods: same beginning, same settings, same updates, same batches."""
    if _conditions(one) != _conditions(other):
        return False
    infos = one.known.info, other.known.info
    if any("pseudo" in info.get("settings", {}) for info in infos):  # a teacher's text in place of the references
        return True
    return infos[0].get("target_tokens") == infos[1].get("target_tokens")


def _were_taught_alike(runs: Sequence[ScoredRun]) -> bool:
    """By the same teacher and settings of distillation: runs of one method may have others."""
    settings = [each.known.info.get("settings", {}) for each in runs]
    first = settings[0]
    return all(each.get(key) == first.get(key) for each in settings for key in ("teacher", "distillation", "pseudo"))


def _conditions(scored: ScoredRun) -> tuple[Any, ...]:
    info = scored.known.info
    settings = info.get("settings", {})
    training = {key: value for key, value in settings.get("training", {}).items() if f"training.{key}" not in FREE_KEYS}
    return info.get("seed"), info.get("updates"), info.get("initial_weights"), training, settings.get("data"), scored.result.decoding


def _method_notes(tests: Mapping[str, PairedTest], unlike: Sequence[str]) -> list[str]:
    notes = ["BLEU, chrF2, NLL, KL: mean ± standard deviation over runs with different seeds"]
    if tests:
        n = len(next(iter(tests.values())).differences.values)
        notes.append("Δ: mean of the paired differences ± half-width of its 95 % interval (Student's t)")
        reach = f"{n} seeds allow none below {smallest_p_value(n):.3g}"
        notes.append(f"p: exact sign-flip permutation over seeds ({reach}); p Holm: corrected over these methods")
        notes.append("what may be claimed of a difference, 'a2d compare' says: it also asks for headroom and for enough seeds")
    if unlike:
        notes.append(f"without Δ, for other seeds, updates, initial weights or settings than {PLAIN}, or than each other: {', '.join(unlike)}")
    return notes


def _spread(values: Sequence[float], digits: int) -> str:
    sample = Sample(tuple(values))
    return f"{sample.mean:.{digits}f}" + (f" ± {sample.sd:.{digits}f}" if len(values) > 1 else "")


def _difference(test: PairedTest | None) -> list[str]:
    if test is None:
        return ["–", "–", "–"]
    sample = test.differences
    return [f"{sample.mean:+.2f} ± {sample.half_width:.2f}", f"{test.p_value:.3f}", f"{test.holm_p_value:.3f}"]


def teacher_of(scored: Sequence[ScoredRun], student: ScoredRun | None = None) -> ScoredRun | None:
    """The student's own (of an ensemble the best), else the first."""
    teachers = [each for each in scored if each.known.is_teacher and not each.is_export]
    digits = student.known.info.get("settings", {}).get("teacher", "") if student else ""
    own = [each for each in teachers if is_taught_by(digits, each.result.weights_sha256)]
    return max(own, key=lambda each: each.bleu) if own else next(iter(teachers), None)


def best_student(scored: Sequence[ScoredRun]) -> ScoredRun | None:
    """By validation, as where no model is named: the best by these very scores would owe some of its lead to chance."""
    students = {each.name: each for each in scored if each.is_student}
    if not students:
        return None
    chosen, _ = best_by_validation([each.known.run for each in students.values()], "students")
    return students[chosen.name]


def translation_blocks(project: Project, scores: Mapping[str, list[ScoredRun]]) -> tuple[Block, ...]:
    """Where the student best by validation and its teacher differ most, on the first test set that both have translated."""
    for test_set, scored in scores.items():
        student = best_student(scored)
        teacher = teacher_of(scored, student)
        if teacher and student and (found := _examples(project, test_set, teacher, student)):
            ahead, behind = most_different(found)
            intro = (
                f"{test_set}, {decoding_of(student)}, teacher '{teacher.name}' and the student best by validation, '{student.name}': sentences whose chrF differs most. "
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
