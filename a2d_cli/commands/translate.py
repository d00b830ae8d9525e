"""`a2d translate`: lines in, lines out, in order and at once."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from a2d_cli.decoding.translator import Translation, Translator
from a2d_cli.decoding.word_alignment import pharaoh
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import disk_errors
from a2d_cli.reporting import Reporter, count_text

MAX_CHUNK_LINES = 2048  # enough for batches of like length; the first chunks are smaller, so that a pipe flows early
READ_BYTES = 1 << 20  # more than so many lines of a file take; a pipe gives what it holds


def translate_stream(
    translator: Translator, source: BinaryIO | Prompt, sink: BinaryIO, reporter: Reporter, errors: str, form: str
) -> int:
    """Translate until the source ends; N lines give N × nbest lines in order. Returns N.

    Args:
        errors: `strict` refuses invalid UTF-8 by its line number, `replace` goes on with U+FFFD.
        form: text (the translation), tsv (line, score, translation) or jsonl. Word alignments, if the translator gives
            them, stand behind `|||` in text, in a column or under a key of their own elsewhere.

    Raises:
        A2DError: invalid UTF-8; everything before that line is already written to the sink.
    """
    done = 0
    for chunk in _chunks(source, translator.settings.batch_sentences):
        lines, problem = _decode(chunk, done, errors)

        def on_cut(index: int, tokens: int, first: int = done) -> None:
            reporter.warn(
                f"line {first + index + 1}: {tokens} tokens, cut to {translator.max_source_tokens} "
                f"({translator.source_limit})"
            )

        for number, translations in enumerate(translator.translate(lines, on_cut=on_cut), start=done + 1):
            sink.writelines(_form(number, translation, form).encode() for translation in translations)
        sink.flush()
        done += len(lines)
        if problem:
            raise problem
    return done


def _chunks(source: BinaryIO | Prompt, first_lines: int) -> Iterator[list[bytes]]:
    """Whole lines as they arrive: what a pipe holds now, at most MAX_CHUNK_LINES."""
    waiting, size, ended = b"", first_lines, False
    while not ended:
        data = source.read1(READ_BYTES)  # type: ignore[attr-defined]  # blocks only while nothing is there
        ended = not data
        *lines, waiting = (waiting + data).split(b"\n")
        if ended and waiting:
            lines.append(waiting)
        for first in range(0, len(lines), MAX_CHUNK_LINES):
            part = lines[first : first + MAX_CHUNK_LINES]
            while part:
                yield part[:size]
                part, size = part[size:], min(2 * size, MAX_CHUNK_LINES)


def _decode(chunk: list[bytes], done: int, errors: str) -> tuple[list[str], A2DError | None]:
    """Text of the lines up to the first invalid one, and the complaint about that."""
    lines: list[str] = []
    for raw in chunk:
        try:
            lines.append(raw.removesuffix(b"\r").decode("utf-8", errors))
        except UnicodeDecodeError as error:
            if done + len(lines) == 0 and _is_packed(raw):
                return lines, A2DError("the input is compressed", "for example: gzip -dc FILE.gz | a2d translate")
            return lines, A2DError(
                (
                    f"input line {done + len(lines) + 1}: not UTF-8 "
                    f"(byte 0x{raw[error.start]:02x} at column {error.start + 1})"
                ),
                "convert the file, or --errors replace to go on",
            )
    return lines, None


def _is_packed(start: bytes) -> bool:
    from a2d_cli.data.archives import BZIP2, GZIP, XZ, ZIP

    return any(mark.match(start) for mark in (GZIP, BZIP2, XZ, ZIP))


def _form(number: int, translation: Translation, form: str) -> str:
    text = translation.text.replace("\n", " ")  # which a vocabulary with bytes can spell: N lines stay N
    alignment = None if translation.alignment is None else pharaoh(translation.alignment)
    if form == "jsonl":
        value = {"line": number, "score": round(translation.score, 4), "translation": text}
        if alignment is not None:
            value["alignment"] = alignment
        return json.dumps(value, ensure_ascii=False) + "\n"
    if form == "tsv":
        fields = [str(number), f"{translation.score:.4f}", text.replace("\t", " ")]
        if alignment is not None:
            fields.append(alignment)
        return "\t".join(fields) + "\n"
    return text + (f" ||| {alignment}" if alignment is not None else "") + "\n"


class Prompt:
    """Lines typed at a terminal, one by one: a source for `translate_stream`, which answers each at once."""

    def __init__(self, terminal: BinaryIO):
        self._terminal = terminal
        print("one sentence a line; Ctrl-D ends", file=sys.stderr)

    def read1(self, size: int) -> bytes:
        print("> ", end="", file=sys.stderr, flush=True)
        line = self._terminal.readline()
        if not line:
            print(file=sys.stderr)
        return line


def open_input(path: Path | None) -> BinaryIO:
    """A file or stdin.

    Raises:
        A2DError: stdin is closed.
        ConfigError: no such file.
    """
    if path is None or str(path) == "-":
        if sys.stdin is None:
            raise A2DError("stdin is closed", "name a text file with -i, or pipe lines in")
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigError(f"input {path}: {error.strerror}", "name a text file with -i, or pipe lines in") from None


def check_output(path: Path | None, input_path: Path | None) -> None:
    """Refuse before the work begins to replace the text that is translated, or what is kept of an earlier try.

    Raises:
        ConfigError: input and output are one file; there is a FILE.part.
    """
    if path and input_path and path.is_file() and input_path.is_file() and path.samefile(input_path):
        raise ConfigError(f"--output {path}: it is the input itself", "name another file")
    part = _part_of(path) if path and _is_replaced(path) else None
    if part and (lines := _lines_of(part)):
        raise ConfigError(
            f"--output {path}: {part} is there, with {count_text(lines, 'line')} of a translation that was stopped",
            "give it another name, to go on behind its last line, or delete it",
        )


@contextlib.contextmanager
def open_output(path: Path | None, reporter: Reporter) -> Iterator[BinaryIO]:
    """A file, or stdout. Until the block has ended well the file is FILE.part, which stays if the block does not."""
    if path is None or str(path) == "-":
        yield sys.stdout.buffer
    elif not _is_replaced(path):
        with disk_errors(path), path.open("wb") as sink:
            yield sink
    else:
        part = _part_of(path)
        with disk_errors(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as sink:
                    yield sink
                    sink.flush()
                    os.fsync(sink.fileno())
            except BaseException:
                _tell_kept(part, reporter)
                raise
            os.replace(part, path.resolve())


def _is_replaced(path: Path) -> bool:
    """A file is, once it is whole; stdout, a pipe or a device is written to."""
    return str(path) != "-" and (path.is_file() or not path.exists())


def _part_of(path: Path) -> Path:
    """Beside the file itself, where `path` is a link to it."""
    path = path.resolve()
    return path.with_name(f"{path.name}.part")


def _lines_of(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


def _tell_kept(part: Path, reporter: Reporter) -> None:
    """Hours of work may be in it."""
    if lines := _lines_of(part):
        reporter.warn(f"stopped before the end: {count_text(lines, 'line')} so far, in {part}")
    else:
        part.unlink(missing_ok=True)
