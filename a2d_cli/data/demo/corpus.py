"""The embedded demo corpus: German-English sentence pairs from a small grammar, the same for the same seed.

Both sides are made from one description: a `Clause` has a subject, a verb and its `Part`s, and is put into
words by `german_main` (verb second), `german_last` (verb final) and `in_english`. What is hard to translate is
real: word order, separable verbs whose end decides their meaning, case instead of position, agreement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from a2d_cli.config.schema import Generated
from a2d_cli.data.demo.sentences import CONSTRUCTIONS
from a2d_cli.data.demo.times import Dice, Pair

MIN_WORDS, MAX_WORDS = 4, 16  # of either side


@dataclass(frozen=True)
class DemoCorpus:
    """Pairs (German, English); no sentence of either language occurs twice in all of it."""

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]


def finished(text: str, mark: str) -> str:
    """With its capital, its commas and its full stop."""
    text = re.sub(r"\s+([,;])", r"\1", text)
    text = re.sub(r",(\s*[,;])+", lambda found: found.group()[-1], text).rstrip(" ,")
    text += mark if not text.endswith(".") else ""
    return text[0].upper() + text[1:]


def sentence(dice: Dice) -> Pair:
    """One German sentence and its English."""
    made = dice.weighted(CONSTRUCTIONS)(dice)
    return finished(made.de, made.mark), finished(made.en, made.mark)


def normalised(text: str) -> str:
    return " ".join(text.casefold().split())


def generate(settings: Generated) -> DemoCorpus:
    """The corpus of the recipe `demo`: the same for the same settings, on every Python and machine."""
    dice = Dice(settings.seed)
    seen: set[str] = set()
    made: list[Pair] = []
    wanted = settings.train_pairs + settings.valid_pairs + settings.test_pairs
    while len(made) < wanted:
        german, words = sentence(dice)
        sides = {normalised(german), normalised(words)}
        lengths = [len(german.split()), len(words.split())]
        if min(lengths) < MIN_WORDS or max(lengths) > MAX_WORDS or sides & seen:
            continue
        seen |= sides
        made.append((german, words))
    test_end = settings.test_pairs
    valid_end = test_end + settings.valid_pairs
    return DemoCorpus(train=made[valid_end:], valid=made[test_end:valid_end], test=made[:test_end])
