"""From pieces that look at pieces to words that belong to words."""

from __future__ import annotations

from collections.abc import Sequence

WORD_START = "\u2581"  # SentencePiece's mark of a space
UNKNOWN = "<unk>"


def word_links(src: Sequence[str], tgt: Sequence[str], attended: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Links (source word, target word) in order: two words are linked if a piece of one looks at a piece of the other.

    Args:
        src, tgt: pieces.
        attended: for each target piece a position in `src`.
    """
    src_words, tgt_words = words_of(src), words_of(tgt, unknown_is_word=True)
    links = {(src_words[position], tgt_words[i]) for i, position in enumerate(attended)}
    return tuple(sorted((s, t) for s, t in links if s is not None and t is not None))


def words_of(pieces: Sequence[str], unknown_is_word: bool = False) -> list[int | None]:
    """For each piece the white-space word, from 0, that it is part of; None where it is only a space.

    Args:
        unknown_is_word: as where pieces become text, in which an unknown one stands alone.
    """
    words: list[int | None] = []
    word, at_start = -1, True
    for piece in pieces:
        stands_alone = unknown_is_word and piece == UNKNOWN
        at_start = at_start or stands_alone or piece.startswith(WORD_START)
        if piece.lstrip(WORD_START):
            word, at_start = word + at_start, stands_alone
            words.append(word)
        else:
            words.append(None)
    return words


def pharaoh(links: Sequence[tuple[int, int]]) -> str:
    """`0-0 1-2`: source-target, as aligners print it."""
    return " ".join(f"{src}-{tgt}" for src, tgt in links)
