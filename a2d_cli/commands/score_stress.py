"""`a2d score --stress`: what models make of input that no corpus is full of, seen without references."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from a2d_cli.commands.model_on_texts import load_model
from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.commands.score import find_models
from a2d_cli.commands.score_files import read_lines
from a2d_cli.commands.scored_text import find_texts
from a2d_cli.commands.table import Table
from a2d_cli.config.schema import Decoding
from a2d_cli.data.corpus import evenly_spaced
from a2d_cli.decoding.alarms import ALARMS, LengthRange, alarms_of
from a2d_cli.project.project import Project
from a2d_cli.reporting import Reporter, count_text

if TYPE_CHECKING:
    from a2d_cli.decoding.translator import Translator

SENTENCES = 40  # of each kind of stress, evenly over the text
LONG_LINES = 8  # of one to eight eighths of the longest input that the model takes
EXPLAINED = """\
stress: plain, the sentences as they are; one word, the longest of each;
numbers, one in brackets at the end; white space, odd spaces between words;
long, many sentences as one line"""
SHOWN_CHARS = 60  # of an example
_END = re.compile(r"[\s.!?…。！？।]+$")
_NUMBERS = ("47", "1988", "3,5", "12.500", "06:45", "2/3", "100000")
_SPACES = ("  ", "\t", "\u00a0", " \u200b", "\u3000")


@dataclass(frozen=True)
class Suspect:
    """A translation that raised alarms."""

    model: str
    stress: str
    alarms: tuple[str, ...]
    source: str
    translation: str


@dataclass(frozen=True)
class StressRow:
    """A model under one kind of stress."""

    model: str
    stress: str
    lines: int
    alarms: dict[str, int]  # translations by kind of alarm


@dataclass(frozen=True)
class StressReport:
    pair: str
    text: str  # whose sentences they are
    decoding: Decoding
    lengths: LengthRange
    rows: tuple[StressRow, ...]
    suspects: tuple[Suspect, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def tables(self) -> list[Table]:
        """The counts, and one suspect of each kind of stress."""
        length = f"{self.lengths.low:.2f} to {self.lengths.high:.2f}"
        alarms = {
            "empty": "no translation",
            "repetition": "the same words again and again, unlike the source",
            "length": f"outside {length} times the source's characters + 10, by the validation text",
            "numbers": "one of two digits or more is lost",
        }
        note = "\n".join(f"{kind}: {alarms[kind]}" for kind in ALARMS)
        counts = Table(
            f"stress: {self.pair}, sentences of {self.text}, beam {self.decoding.beam}",
            ["model", "stress", "lines", *ALARMS],
            [[row.model, row.stress, str(row.lines), *(str(row.alarms[kind]) for kind in ALARMS)] for row in self.rows],
            f"{note}\n{EXPLAINED}",
        )
        if not self.suspects:
            return [counts]
        first = {each.stress: each for each in reversed(self.suspects)}
        rows = [
            [stress, each.model, ", ".join(each.alarms), _shown(each.source), _shown(each.translation)]
            for stress in dict.fromkeys(row.stress for row in self.rows)
            if (each := first.get(stress))
        ]
        title = f"{count_text(len(self.suspects), 'suspicious translation')}, one of each stress (all: --json)"
        return [counts, Table(title, ["stress", "model", "alarm", "source", "translation"], rows)]


def score_stress(
    project: Project,
    *,
    models: Sequence[str] | None = None,
    test_sets: Sequence[str] | None = None,
    decoding: Decoding | None = None,
    device: str = "auto",
    reporter: Reporter,
) -> StressReport:
    """Translate changed sentences of the first test set and count alarms, for the models that `a2d score` scores.

    Raises:
        ConfigError, A2DError: as `score_project`.
    """
    recipe = prepared_recipe(project)
    settings = replace(decoding or recipe.decoding, nbest=1)
    text = find_texts(project, recipe, test_sets)[0]
    valid = (read_lines(project.text_path("valid", lang)) for lang in (recipe.src_lang, recipe.tgt_lang))
    lengths = LengthRange.of(zip(*valid, strict=True))
    rows: list[StressRow] = []
    suspects: list[Suspect] = []
    for model in find_models(project, models, recipe.pair, reporter):
        translator = load_model(model, settings, device)
        for stress, lines in stress_lines(text.src, translator).items():
            found = _suspects(translator, model.name, stress, lines, lengths, reporter)
            suspects += found
            alarms = {kind: sum(kind in each.alarms for each in found) for kind in ALARMS}
            rows.append(StressRow(model.name, stress, len(lines), alarms))
    return StressReport(recipe.pair, text.name, settings, lengths, tuple(rows), tuple(suspects))


def _suspects(
    translator: Translator, model: str, stress: str, lines: list[str], lengths: LengthRange, reporter: Reporter
) -> list[Suspect]:
    with reporter.progress(f"{model}, {stress}", len(lines), "sentences") as progress:
        texts = [best[0].text for best in translator.translate(lines, on_done=progress.advance)]
    judged = ((source, text, alarms_of(source, text, lengths)) for source, text in zip(lines, texts, strict=True))
    return [Suspect(model, stress, alarms, source, text) for source, text, alarms in judged if alarms]


def stress_lines(sentences: Sequence[str], translator: Translator) -> dict[str, list[str]]:
    """Lines by kind of stress, the same for the same sentences; `plain` are they themselves, for comparison.

    A kind that changes none of them is left out: capitals, where the script has none.

    Args:
        translator: its tokenizer and limit say how long `long` is.
    """
    plain = [sentences[i] for i in evenly_spaced(len(sentences), SENTENCES)]
    changes: dict[str, Callable[[int, str], str]] = {
        "one word": lambda _, line: max(re.findall(r"\w+", line) or [line], key=len),
        "no full stop": lambda _, line: _END.sub("", line),
        "capitals": lambda _, line: line.upper(),
        "lower case": lambda _, line: line.lower(),
        "numbers": _with_number,
        "white space": _with_odd_spaces,
    }
    kinds = {"plain": plain}
    for name, change in changes.items():
        changed = ((line, change(i, line)) for i, line in enumerate(plain))
        kinds[name] = [after for before, after in changed if after != before]
    kinds["long"] = _long_lines(sentences, translator)
    return {name: lines for name, lines in kinds.items() if lines}


def _with_number(i: int, line: str) -> str:
    """In brackets before the end, where a number may stand in every language."""
    end = _END.search(line)
    body, rest = (line[: end.start()], end[0]) if end else (line, "")
    return f"{body} ({_NUMBERS[i % len(_NUMBERS)]}){rest}"


def _with_odd_spaces(i: int, line: str) -> str:
    space = _SPACES[i % len(_SPACES)]
    return f"{space}{space.join(line.split())}{space}"


def _long_lines(sentences: Sequence[str], translator: Translator) -> list[str]:
    """Sentences in a row, as many as fit; each line begins with others."""
    lines = []
    for i in range(LONG_LINES):
        limit = translator.max_source_tokens * (i + 1) // LONG_LINES
        start = i * len(sentences) // LONG_LINES
        joined = ""
        for sentence in islice(cycle(sentences), start, start + len(sentences)):
            longer = f"{joined} {sentence}".strip()
            if len(translator.tokenizer.encode_src([longer])[0]) > limit:
                break
            joined = longer
        if joined and joined not in sentences:
            lines.append(joined)
    return lines


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
