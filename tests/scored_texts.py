"""References, and translations of them that are worse the more words they lost."""

import random

from a2d_cli import scoring

VOCABULARY = ["der", "die", "das", "Hund", "Katze", "läuft", "schläft", "über", "Straße", ",", ".", "7", "rot"]


def sentences(count, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices(VOCABULARY, k=rng.randint(4, 11))) for _ in range(count)]


def damaged(lines, drop, seed=3):
    rng = random.Random(seed)
    return [" ".join(word for word in line.split() if rng.random() >= drop) for line in lines]


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    return path


def paired(baseline, system, references, metric="bleu", n=scoring.RESAMPLES, seed=None):
    """Two systems' outputs for one test set, compared."""
    return scoring.compare(*(scoring.resample(lines, references, metric, n, seed) for lines in (baseline, system)))
