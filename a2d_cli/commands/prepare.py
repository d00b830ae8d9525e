"""`a2d prepare`: from a recipe to clean, leak-free, tokenised text, ready to train on.

Four steps, each done once: `clean` (download, read, normalise, filter), `decontaminate` (split where the
corpus has no sets of its own, remove leaks), `tokenizer`, `ids`. A step is done again when its settings, its
sources or a step before it have changed; after a kill the same command goes on with the first unfinished one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from a2d_cli.commands.preparation import ASKED, asked_of
from a2d_cli.commands.prepare_report import PrepareReport, counts_text, sum_counts
from a2d_cli.config.catalog import read_recipe_file
from a2d_cli.config.keys import differences, first_of
from a2d_cli.config.loader import parse_recipe
from a2d_cli.config.rules import check_recipe
from a2d_cli.config.schema import Recipe, Split
from a2d_cli.config.writer import dump_recipe
from a2d_cli.data.aligned_text import AlignedText, Pair, TextStamp
from a2d_cli.data.cleaning import RULE_KEYS, Cleaner, Tally, clean_held_out
from a2d_cli.data.corpus import ParallelCorpus, write_corpus
from a2d_cli.data.decontamination import Decontamination
from a2d_cli.data.report import STEPS, Report
from a2d_cli.data.sources import DEFAULT_TEST, identify_sources, open_sources, own_files
from a2d_cli.data.splitting import automatic_split, split_pairs
from a2d_cli.data.tokenizer import Tokenizer, train_tokenizer
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import LOCK, fingerprint, remove_leftovers, write_text
from a2d_cli.json_files import read_json
from a2d_cli.project.project import Project
from a2d_cli.project.run import CONFIG, Run, find_checkpoint, find_model
from a2d_cli.reporting import Reporter, count_text

_CODE = 1  # raised when a step's code writes other text or ids than before from the same sources
MANY_DROPPED = 0.2  # of the training pairs, by one rule of cleaning or as leaks
FEW_PAIRS = 1000  # of training text: nothing that deserves the name of a translator comes of them
_PROGRESS_PAIRS = 1000  # between two movements of a bar


def prepare(
    project: Project,
    recipe: Recipe,
    *,
    mirror: str | None,
    reporter: Reporter,
    overwrite: bool = False,
    command: str = "",
) -> PrepareReport:
    """Bring the project's data up to date with `recipe`.

    Args:
        mirror: folder or URL where downloads are looked for first.
        overwrite: go on even if that makes finished runs worthless; also try again what was left out before.
        command: as typed: what goes on after an interruption.

    Raises:
        ConfigError: a recipe that cannot be right, or one that would make runs worthless.
        A2DError: what keeps a step from ending: which source, and what to do.
    """
    _check_recipe(recipe)
    _check_places(project, recipe)
    given_tokenizer = _find_tokenizer(project, recipe)
    with project.lock("a2d prepare"):
        state = project.state()
        job = _Job(
            project,
            recipe,
            given_tokenizer,
            mirror,
            reporter,
            overwrite,
            Report(project.report_path),
            before=state.get("prepared") or state.get("replaced", {}),
            command=command,
        )
        return _run(job)


def _check_recipe(recipe: Recipe) -> None:
    check_recipe(recipe, recipe.name)
    data = recipe.data
    if not data.train and not data.generated:
        raise ConfigError("data.train: no training text", "name its files")
    if data.generated and set(recipe.pair.split("-")) != {"de", "en"}:
        raise ConfigError(f"pair: the demo corpus is German and English, not {recipe.pair}", "take de-en or en-de")


def _check_places(project: Project, recipe: Recipe) -> None:
    """Before hours of work: nothing of the user's stands where it would be written over, or cannot be read."""
    for path in own_files(recipe.data):
        if {project.text_dir.resolve(), _cleaned_dir(project).resolve()} & {*path.resolve().parents}:
            raise ConfigError(
                f"{path} lies where 'a2d prepare' writes the text that it has cleaned",
                "move it to another folder, or prepare in another one with -C DIR",
            )
    if project.recipe_path.exists():
        read_recipe_file(project.recipe_path)


def _cleaned_dir(project: Project) -> Path:
    return project.data_dir / "cleaned"


def _find_tokenizer(project: Project, recipe: Recipe) -> Tokenizer | None:
    """The one that the recipe takes from a model; None: it has one trained."""
    source = recipe.tokenizer.taken_from
    if source is None:
        return None
    try:
        folder = find_checkpoint(find_model(project, source))
    except A2DError as error:
        hint = "a tokenizer is taken from a model: a run's name, a run folder or a checkpoint folder"
        raise ConfigError(f"tokenizer.taken_from: {error.message}", hint) from None
    pair = read_json(folder / CONFIG, "checkpoint config").get("pair")
    if pair is None:
        raise ConfigError(
            f"tokenizer.taken_from: {folder} is no model of a2d", f"import it first: 'a2d import {source}'"
        )
    if pair != recipe.pair:
        raise ConfigError(
            f"tokenizer.taken_from: {source} translates {pair}, the recipe's text is {recipe.pair}",
            "take the tokenizer of a model of the same direction",
        )
    return Tokenizer.beside(folder)


@dataclass(frozen=True)
class _Job:
    """What every step needs. A step returns a `_Result`."""

    project: Project
    recipe: Recipe
    given_tokenizer: Tokenizer | None
    mirror: str | None
    reporter: Reporter
    overwrite: bool
    report: Report
    before: dict[str, Any]  # what project.json says, or has said, of the last preparation that ended
    command: str

    @property
    def languages(self) -> tuple[str, str]:
        return self.recipe.src_lang, self.recipe.tgt_lang

    def cleaned(self, name: str) -> AlignedText:
        folder = _cleaned_dir(self.project)
        return AlignedText(*(folder / f"{name}.{lang}" for lang in self.languages))

    def text(self, name: str) -> AlignedText:
        return AlignedText(*(self.project.text_path(name, lang) for lang in self.languages))

    def stamps(self, step: str) -> dict[str, TextStamp]:
        """Of the texts that `step` wrote, by name."""
        return {name: TextStamp(**stamp) for name, stamp in self.report.sections[step]["texts"].items()}

    def begin(self, step: str) -> None:
        """Before its first file is written."""
        if step != "clean":  # whose files the next step alone reads: without them all that is prepared still stands
            self.project.record(prepared=None, replaced=self.before or None)
        self.report.begin(step)

    def watched(self, pairs: Iterable[Pair], title: str, total: int | None = None) -> Iterator[Pair]:
        with self.reporter.progress(title, total, "pairs") as progress:
            iterator = iter(pairs)
            while block := list(islice(iterator, _PROGRESS_PAIRS)):
                yield from block
                progress.advance(len(block))


@dataclass(frozen=True)
class _Result:
    files: list[Path]
    section: dict[str, Any]  # of report.json


def _run(job: _Job) -> PrepareReport:
    keys = _keys(job.recipe, job.given_tokenizer)
    todo = _outdated(job, keys)
    if not job.overwrite:
        _protect_runs(job, keys)
    if todo:
        job.project.record(preparing=job.command)
        remove_leftovers(job.project.data_dir)
    actions = {
        "clean": _clean,
        "decontaminate": _decontaminate,
        "tokenizer": _make_tokenizer,
        "ids": _encode,
    }
    with _given_up(job):
        for step in todo:
            started = time.monotonic()
            result = actions[step](job)
            if step == "clean" and _keys(job.recipe, job.given_tokenizer) != keys:
                raise A2DError("a source was changed while it was read", "run the same command again")
            job.report.finish(step, keys[step], result.files, time.monotonic() - started, result.section)
        _conclude(job)
    return PrepareReport(tuple(todo), job.report.as_dict())


@contextmanager
def _given_up(job: _Job) -> Iterator[None]:
    """What fails within before it writes leaves a project that was prepared as it was."""
    try:
        yield
    except A2DError:
        if "prepared" in job.project.state():
            job.project.record(preparing=None)
        raise


# --- What must be done


def _keys(recipe: Recipe, given: Tokenizer | None) -> dict[str, str]:
    """A fingerprint for each step of all that decides its result; each contains the one before.

    Args:
        given: the tokenizer that is taken from a model.
    """
    data = recipe.data
    trained = {key: value for key, value in asdict(recipe.tokenizer).items() if key not in ("taken_from", "trim")}
    settings = {
        "clean": {
            "pair": recipe.pair,
            "sources": identify_sources(data),
            "cleaning": asdict(recipe.cleaning),
        },
        "decontaminate": {
            "split": asdict(data.split) if data.split else None,
            "reduce_tests": sorted(data.reduce_tests),
        },
        "tokenizer": {"taken": given.fingerprint, "trim": recipe.tokenizer.trim} if given else trained,
        "ids": {},
    }
    keys: dict[str, str] = {}
    key = ""
    for step in STEPS:
        key = keys[step] = fingerprint({"code": _CODE, "before": key, "settings": settings[step]})
    return keys


def _outdated(job: _Job, keys: dict[str, str]) -> list[str]:
    """The steps from the first that must be done to the last."""
    if job.overwrite and job.report.sections.get("clean", {}).get("left_out"):
        return list(STEPS)
    # What `clean` wrote is read by `decontaminate` alone: once that is done its files may be deleted.
    steps = STEPS[1:] if job.report.is_current("decontaminate", keys["decontaminate"]) else STEPS
    first = next((step for step in steps if not job.report.is_current(step, keys[step])), None)
    return list(STEPS[STEPS.index(first) :]) if first else []


def _runs(project: Project) -> list[str]:
    """Runs that were trained here; an imported one does not depend on what is prepared.

    A folder that holds a lock alone was left by a run that did not come to begin.
    """
    folders = (path for path in project.runs_dir.glob("*") if path.is_dir())
    runs = [Run(path) for path in folders if any(each.name != LOCK for each in path.iterdir())]
    return sorted(run.name for run in runs if run.problem or "imported_from" not in run.info)


def _protect_runs(job: _Job, keys: dict[str, str]) -> None:
    done = job.before.get("steps") or {step: job.report.key(step) for step in STEPS}
    changed = [step for step in STEPS if done.get(step) not in (None, keys[step])]
    runs = _runs(job.project)
    if not changed or not runs:
        return
    name = job.before.get("recipe", job.recipe.name)
    what = "its tokenizer" if changed[0] == "tokenizer" else "its text and tokenizer"
    raise ConfigError(
        f"{job.project.folder}: prepared with recipe {name!r}; preparing {job.recipe.name!r} as asked now "
        f"changes {what}, and these runs were trained on the old one: {', '.join(runs)}",
        "use another folder (-C DIR); or add --overwrite, then train those runs anew",
    )


def _protect_vocabulary(job: _Job, tokenizer: Tokenizer) -> None:
    """The same settings can give another vocabulary: another version of SentencePiece."""
    runs = _runs(job.project)
    if runs and job.before.get("tokenizer_fingerprint") not in (None, tokenizer.fingerprint):
        raise ConfigError(
            f"{job.project.folder}: SentencePiece made another vocabulary than before, and these runs use "
            f"the old one: {', '.join(runs)}",
            f"copy spm.model from {job.project.runs_dir / runs[0]} to {job.project.data_dir}, "
            "or add --overwrite and train anew",
        )


# --- clean


def _clean(job: _Job) -> _Result:
    opened = open_sources(job.recipe, job.project.raw_dir, mirror=job.mirror, reporter=job.reporter)
    job.begin("clean")
    cleaner = Cleaner(job.recipe.cleaning)
    texts: dict[str, TextStamp] = {}
    sources: list[dict[str, Any]] = []
    # The small sets first: what is wrong with them is known before the long work begins.
    for name in sorted(opened.sets, key=lambda name: name == "train"):
        tallies = [(source, Tally()) for source in opened.sets[name]]
        clean = cleaner.clean if name == "train" else clean_held_out
        pairs = (pair for source, tally in tallies for pair in clean(job.watched(source.pairs, f"clean {name}"), tally))
        with closing(pairs):
            texts[name] = job.cleaned(name).write(pairs)
        sources += [{"set": name, **source.origin, **tally.as_dict()} for source, tally in tallies]
        if texts[name].num_pairs == 0:
            raise _all_dropped(name, [tally for _, tally in tallies])
        if name == "train":
            _warn_of_losses([tally for _, tally in tallies], job.reporter)
    section = {
        "texts": {name: asdict(stamp) for name, stamp in texts.items()},
        "sources": sources,
        "left_out": opened.left_out,
        "downloads": {
            name: {
                "url": job.recipe.data.downloads[name].url,
                "sha256": fetched.sha256,
                "from_mirror": fetched.from_mirror,
            }
            for name, fetched in opened.downloads.items()
        },
    }
    return _Result([path for name in texts for path in job.cleaned(name).paths], section)


def _warn_of_losses(tallies: list[Tally], reporter: Reporter) -> None:
    """Of a rule that drops more of the training text than a sound corpus has to lose."""
    num_read = sum(tally.num_read for tally in tallies)
    for rule, count in sum_counts(tally.num_dropped for tally in tallies).items():
        if rule in RULE_KEYS and count > MANY_DROPPED * num_read:
            reporter.warn(
                f"cleaning: '{rule}' dropped {count:,} of {num_read:,} training pairs (samples are in report.json); "
                f"if those are good pairs, relax it: {RULE_KEYS[rule]}, under cleaning in a2d.yaml"
            )


def _all_dropped(name: str, tallies: list[Tally]) -> A2DError:
    dropped = sum_counts(tally.num_dropped for tally in tallies)
    return A2DError(
        f"data.{name}: none of {sum(tally.num_read for tally in tallies):,} pairs is left after cleaning: "
        f"{counts_text(dropped)}",
        "check that the files hold what the recipe says, or relax the rule that drops them (--set cleaning.KEY=VALUE)",
    )


# --- decontaminate


def _decontaminate(job: _Job) -> _Result:
    stamps = job.stamps("clean")
    train_stamp = stamps.pop("train")
    held_out = {name: list(job.cleaned(name).read(stamp)) for name, stamp in stamps.items()}

    def train() -> Iterator[Pair]:
        return job.cleaned("train").read(train_stamp)

    part_of: dict[int, str] = {}  # position in the training text: the set that it goes to
    settings = job.recipe.data.split or _missing_sets(job, held_out, train_stamp.num_pairs)
    if settings:
        split = split_pairs(job.watched(train(), "split", train_stamp.num_pairs), settings)
        part_of = dict.fromkeys(split.valid.tolist(), "valid") | dict.fromkeys(split.test.tolist(), DEFAULT_TEST)
        for name in dict.fromkeys(part_of.values()):
            held_out[name] = []
        for i, pair in enumerate(train()):
            if i in part_of:
                held_out[part_of[i]].append(pair)

    valid = held_out.pop("valid", [])
    reduced = [name for name in job.recipe.data.reduce_tests if name in held_out]
    decontamination = Decontamination(valid, held_out, reduced)
    staying = (pair for i, pair in enumerate(train()) if i not in part_of)
    watched = job.watched(staying, "decontaminate", train_stamp.num_pairs - len(part_of))
    job.begin("decontaminate")
    with closing(decontamination.filter(watched)) as clean_train:
        texts = {"train": job.text("train").write(clean_train)}
    clean_sets = decontamination.held_out()
    for name, pairs in {"valid": clean_sets.valid, **clean_sets.tests}.items():
        texts[name] = job.text(name).write(pairs)
    leaks = {
        "train": decontamination.train_tally,
        "valid": decontamination.valid_tally,
        **decontamination.test_tallies,
    }
    for name, stamp in texts.items():
        if stamp.num_pairs == 0:
            raise _empty_set(name, leaks[name])
    _warn_of_little(leaks["train"], texts["train"].num_pairs, job.reporter)
    return _Result(
        [path for name in texts for path in job.text(name).paths],
        {
            "texts": {name: asdict(stamp) for name, stamp in texts.items()},
            "split": _split_facts(settings, Counter(part_of.values())) if settings else None,
            "leaks": {name: tally.as_dict() for name, tally in leaks.items()},
        },
    )


def _split_facts(settings: Split, taken: Counter[str]) -> dict[str, Any]:
    return {
        "by": settings.by,
        "seed": settings.seed,
        "num_valid": taken["valid"],
        "num_test": taken[DEFAULT_TEST],
    }


def _warn_of_little(leaks: Tally, num_left: int, reporter: Reporter) -> None:
    num_leaks = sum(leaks.num_dropped.values())
    if num_leaks > MANY_DROPPED * leaks.num_read:
        reporter.warn(
            f"{num_leaks:,} of {leaks.num_read:,} training pairs share a sentence with validation or test text "
            f"({counts_text(leaks.num_dropped)}) and are left out: is that text a part of the training text?"
        )
    if num_left < FEW_PAIRS:
        reporter.warn(f"{count_text(num_left, 'training pair')}: too little to learn from; tens of thousands are usual")


def _missing_sets(job: _Job, held_out: Mapping[str, list[Pair]], num_pairs: int) -> Split | None:
    """What to take out of the training text where a person named no validation or no test set."""
    need_valid, need_test = "valid" not in held_out, not (held_out.keys() - {"valid"} or job.recipe.data.tests)
    if not need_valid and not need_test:
        return None
    split = automatic_split(num_pairs, need_valid, need_test)
    if split.valid_pairs + split.test_pairs >= num_pairs:
        raise A2DError(
            f"data.train: of {count_text(num_pairs, 'pair')} none is left once validation and test pairs are set apart",
            "give more text, or sets of your own: --valid SRC TGT --test SRC TGT",
        )
    taken = [f"{n:,} for {name}" for n, name in ((split.valid_pairs, "valid"), (split.test_pairs, DEFAULT_TEST)) if n]
    job.reporter.info(
        f"held out of the {num_pairs:,} training pairs: {' and '.join(taken)} (what shares a sentence stays together)"
    )
    return split


def _empty_set(name: str, tally: Tally) -> A2DError:
    if not tally.num_read:
        return A2DError(f"data.{name}: no pairs", "name files for it, or change data.split")
    return A2DError(
        f"data.{name}: none of {tally.num_read:,} pairs is left after decontamination; they stand in: "
        f"{counts_text(tally.num_dropped)}",
        "these sets are the same text: use other ones"
        + ("" if name in ("train", "valid") else ", or take this one out of data.reduce_tests"),
    )


# --- tokenizer and ids


@dataclass(frozen=True)
class _TrainingText:
    """Its pairs, as often as they are asked for."""

    job: _Job
    stamp: TextStamp

    def __iter__(self) -> Iterator[Pair]:
        pairs = self.job.text("train").read(self.stamp)
        return self.job.watched(pairs, "read for the tokenizer", self.stamp.num_pairs)


def _make_tokenizer(job: _Job) -> _Result:
    stamp = job.stamps("decontaminate")["train"]
    settings, tokenizer = job.recipe.tokenizer, job.given_tokenizer
    pairs = _TrainingText(job, stamp)
    if tokenizer is None:
        with job.reporter.progress("train the tokenizer"):
            tokenizer = train_tokenizer(pairs, stamp.num_pairs, settings)
    elif settings.trim:
        tokenizer = tokenizer.trimmed(pairs)
    if not job.overwrite:
        _protect_vocabulary(job, tokenizer)
    sizes = [tokenizer.src_vocab_size] if tokenizer.joint else [tokenizer.src_vocab_size, tokenizer.tgt_vocab_size]
    if settings.taken_from is None:
        origin = {"model_type": settings.model_type}
    else:
        origin = {"taken_from": settings.taken_from, "trimmed": settings.trim}
    job.begin("tokenizer")
    files = tokenizer.save(job.project.data_dir)
    return _Result(
        files,
        {"vocab_size": sizes, "joint": tokenizer.joint, **origin, "fingerprint": tokenizer.fingerprint},
    )


def _encode(job: _Job) -> _Result:
    tokenizer = Tokenizer.load(job.project.data_dir)
    stamps = job.stamps("decontaminate")
    job.begin("ids")
    files: list[Path] = []
    section: dict[str, Any] = {"lengths": {}, "unknown": {}, "fingerprints": {}}
    for name in ("train", "valid"):
        stamp = stamps[name]
        pairs = job.watched(job.text(name).read(stamp), f"encode {name}", stamp.num_pairs)
        files += write_corpus(job.project.data_dir, name, job.languages, pairs, stamp.digest, tokenizer)
        corpus = ParallelCorpus.open(job.project.data_dir, name, *job.languages)
        sides = dict(zip(job.languages, (corpus.index.src, corpus.index.tgt), strict=True))
        lengths = dict(zip(job.languages, (corpus.src_lengths, corpus.tgt_lengths), strict=True))
        section["lengths"][name] = {lang: _describe_lengths(tokens) for lang, tokens in lengths.items()}
        section["unknown"][name] = {lang: side.num_unknown / max(1, side.num_tokens) for lang, side in sides.items()}
        section["fingerprints"][name] = corpus.fingerprint
    return _Result(files, section)


def _describe_lengths(tokens: np.ndarray) -> dict[str, float]:
    return {
        "mean": round(float(tokens.mean()), 2),
        "median": float(np.median(tokens)),
        "p95": float(np.percentile(tokens, 95)),
        "max": int(tokens.max()),
    }


# --- The end


def _conclude(job: _Job) -> None:
    """Describe the whole in report.json, save the recipe, and declare the project prepared."""
    recipe, sections = job.recipe, job.report.sections
    texts = sections["decontaminate"]["texts"]
    facts = {
        "recipe": recipe.name,
        "pair": recipe.pair,
        "tests": [name for name in texts if name not in ("train", "valid")],
        "data_fingerprint": fingerprint({"pair": recipe.pair, "texts": texts}),
        "tokenizer_fingerprint": sections["tokenizer"]["fingerprint"],
    }
    job.report.describe(**facts, licence=recipe.data.licence)
    _save_recipe(job)
    steps = {step: job.report.key(step) for step in STEPS}
    prepared = {**facts, "steps": steps, ASKED: asked_of(recipe)}
    job.project.record(recipe=recipe.name, prepared=prepared, preparing=None, replaced=None)


def _save_recipe(job: _Job) -> None:
    """Write a2d.yaml. One that says the same keeps its comments; one that was edited is kept beside it."""
    path = job.project.recipe_path
    if path.exists():
        found = read_recipe_file(path)
        before = _parsed(found)
        if before == job.recipe:
            return
        kept = ""
        if fingerprint(found) != job.project.state().get("recipe_text"):
            names = (path.with_name(f"{path.name}.old{number}") for number in ("", *range(2, 1000)))
            backup = next(name for name in names if not name.exists())
            write_text(backup, found)
            kept = f"; yours is kept as {backup.name}"
        job.reporter.info(f"{path.name} now holds the recipe as prepared{kept}{_changes(before, job.recipe)}")
    text = dump_recipe(job.recipe)
    write_text(path, text)
    job.project.record(recipe_text=fingerprint(text))


def _parsed(text: str) -> Recipe | None:
    try:
        return parse_recipe(text, where="a2d.yaml")
    except A2DError:
        return None


def _changes(before: Recipe | None, recipe: Recipe) -> str:
    """What a recipe says differently from the one before, where that could be read."""
    if before is None:
        return ""
    changes = differences(asdict(before), asdict(recipe))
    inherited = {f"student_{key}" for key in changes if changes.get(f"student_{key}") == changes[key]}
    return f": {first_of([f'{key}: {values}' for key, values in changes.items() if key not in inherited])}"
