"""Sentence pairs from files as corpora are published: plain, TSV, WMT SGM, IWSLT TED, TMX.

Everything streams; the largest thing held is one test set's reference side (SGM, TED XML).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from xml.parsers import expat

from a2d_cli.config.schema import CorpusFiles
from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.archives import ZIP, open_member
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.reporting import Reporter, shortened

MAX_LINE_BYTES = 16 * 2**20  # a longer line means that the file is not text with one sentence a line
XML_BLOCK_BYTES = 1 << 16

Pairs = Iterator[Pair]


@dataclass(frozen=True)
class Text:
    """One file as a recipe names it (`DOWNLOAD`, `DOWNLOAD:MEMBER` or a path) and where it lies."""

    name: str
    path: Path
    member: str = ""

    @classmethod
    def find(cls, name: str, locate: Callable[[str], Path]) -> Text:
        place, member = split_name(name)
        return cls(name, Path(locate(place)), member)


def split_name(name: str) -> tuple[str, str]:
    """The download or path, and the member: before and after the first ':', unless a file is called all of it."""
    if (
        "/" in name.partition(":")[0] and Path(name).is_file()
    ):  # a path, as the rules of a recipe tell it from a download
        return name, ""
    place, _, member = name.partition(":")
    return place, member


def read_pairs(
    files: CorpusFiles, locate: Callable[[str], Path], *, src_lang: str, tgt_lang: str, reporter: Reporter
) -> Pairs:
    """Source and target sentences in the file's order, neither cleaned nor filtered.

    Args:
        locate: gives the local file for a download's name or a path, without the member.
        src_lang: with `tgt_lang`, picks the sides of a TMX file, which holds many languages.

    Raises:
        A2DError: missing or empty file, sides of different length, invalid UTF-8, missing column, no such language.
            Most come while iterating, some at the very end: nothing yielded counts until the iteration has ended.
    """
    src = Text.find(files.src, locate)
    one_file = files.format in ("tsv", "tmx")
    if one_file != (files.tgt is None):
        wanted = "holds both sides in one file: leave `tgt` out" if one_file else "needs a second file: add `tgt`"
        raise ConfigError(f"{files.src}: format {files.format} {wanted}")
    if files.format == "tsv":
        return _read_tsv(src, files.src_column, files.tgt_column, (src_lang, tgt_lang), reporter)
    if files.format == "tmx":
        return _read_tmx(src, src_lang, tgt_lang, reporter)
    tgt = Text.find(files.tgt, locate)
    if files.format == "plain":
        return _pair_lines(src, read_lines(src), tgt, read_lines(tgt))
    if files.format == "ted" and not _is_xml(src):
        return _pair_lines(src, _ted_sentences(read_lines(src)), tgt, _ted_sentences(read_lines(tgt)))
    return _pair_segments(src, tgt)


def read_lines(text: Text) -> Iterator[str]:
    r"""The lines of a UTF-8 file, compressed or not. Only '\n' ends a line: U+2028, U+0085 and the like are text."""
    line_number = 0
    with open_member(text.path, text.member) as stream:
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            line_number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise A2DError(
                    f"{text.name}: line {line_number} is longer than {MAX_LINE_BYTES >> 20} MiB",
                    "one sentence a line is expected: check the file and the recipe's `format`",
                )
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                if line_number == 1 and ZIP.match(raw):
                    raise A2DError(f"{text.name}: a zip archive", "unpack it, and name the file in it") from None
                marks = {b"\xff\xfe\0\0": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
                known = [name for mark, name in marks.items() if line_number == 1 and raw.startswith(mark)]
                raise A2DError(
                    (
                        f"{text.name}: line {line_number} is not UTF-8 "
                        f"(byte {error.start + 1} is 0x{raw[error.start]:02x})"
                    ),
                    f"convert the file{': ' if known else ', for example: '}"
                    f"iconv -f {known[0] if known else 'ISO-8859-1'} -t UTF-8",
                ) from None
            if line_number == 1:
                line = line.removeprefix("\ufeff")
                if not line.endswith("\n") and line.count("\r") > 1:
                    raise A2DError(
                        f"{text.name}: its lines end in a carriage return alone", "convert it: tr '\\r' '\\n' < FILE"
                    )
            yield line.rstrip("\r\n")
    if not line_number:
        raise A2DError(f"{text.name}: the file is empty", f"look at {text.path}")


def _pair_lines(src: Text, src_lines: Iterator[str], tgt: Text, tgt_lines: Iterator[str]) -> Pairs:
    with closing(src_lines), closing(tgt_lines):
        for num_pairs, (src_line, tgt_line) in enumerate(zip_longest(src_lines, tgt_lines)):
            if src_line is None:
                raise _unequal(src, num_pairs, tgt, num_pairs + 1 + _count(tgt_lines))
            if tgt_line is None:
                raise _unequal(src, num_pairs + 1 + _count(src_lines), tgt, num_pairs)
            yield src_line, tgt_line


def _count(lines: Iterable[str]) -> int:
    return sum(1 for _ in lines)


def _unequal(src: Text, num_src: int, tgt: Text, num_tgt: int, what: str = "lines") -> A2DError:
    return A2DError(
        f"the two sides differ: {src.name} has {num_src} {what}, {tgt.name} has {num_tgt}",
        f"each must be the translation of its counterpart: look at {src.path} and {tgt.path}",
    )


def _read_tsv(text: Text, src_column: int, tgt_column: int, languages: tuple[str, str], reporter: Reporter) -> Pairs:
    num_pairs = 0
    for line_number, line in enumerate(read_lines(text), start=1):
        if not line:
            continue
        columns = line.split("\t")
        if max(src_column, tgt_column) > len(columns) or min(src_column, tgt_column) < 1:
            raise A2DError(
                f"{text.name}: line {line_number} has {len(columns)} tab-separated column(s), "
                f"but columns {src_column} and {tgt_column} are asked for",
                "name them (a2d prepare --columns SRC,TGT; in a recipe src_column, tgt_column) or mend the line",
            )
        pair = columns[src_column - 1], columns[tgt_column - 1]
        if not num_pairs and len(columns) > 2 and (src_column, tgt_column) == (1, 2):
            read = (
                f"{n} as {lang} ('{shortened(side)}')"
                for n, lang, side in zip((src_column, tgt_column), languages, pair, strict=True)
            )
            reporter.info(
                f"{text.name}: {len(columns)} columns; read {' and '.join(read)}; others by --columns SRC,TGT"
            )
        num_pairs += 1
        yield pair
    if not num_pairs:
        raise A2DError(f"{text.name}: no line holds a pair", f"look at {text.path}")


# WMT's SGM and IWSLT's XML share these tags; neither is well-formed XML often enough for a real parser.
_TAG = re.compile(r"<(/?)(doc|seg)\b([^>]*)>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


@dataclass(frozen=True)
class Segment:
    doc: str
    number: str  # the seg's id
    text: str

    def __str__(self) -> str:
        return f"doc {self.doc!r} seg {self.number!r}"


def _read_segments(text: Text) -> Iterator[Segment]:
    doc, number, pieces = "", None, []
    for line in read_lines(text):
        start = 0
        for tag in _TAG.finditer(line):
            is_end, name = bool(tag[1]), tag[2].lower()
            if name == "seg" and not is_end:
                if number is not None:
                    raise A2DError(f"{text.name}: doc {doc!r} seg {number!r} has no </seg>", f"look at {text.path}")
                number, pieces = _attributes(tag[3]).get("id", ""), []
            elif name == "seg" and number is not None:
                pieces.append(line[start : tag.start()])
                yield Segment(doc, number, _one_line(_unescaped("\n".join(pieces))))
                number = None
            elif name == "doc" and not is_end:
                attributes = _attributes(tag[3])
                doc = attributes.get("docid") or attributes.get("id", "")
            start = tag.end()
        if number is not None:
            pieces.append(line[start:])
    if number is not None:
        raise A2DError(f"{text.name}: doc {doc!r} seg {number!r} has no </seg>", f"the file is cut short: {text.path}")


def _attributes(tag: str) -> dict[str, str]:
    return {m[1].lower(): m[2] or m[3] or m[4] or "" for m in _ATTRIBUTE.finditer(tag)}


def _unescaped(text: str) -> str:
    """The five entities of XML and the numeric ones; any other `&` is text (WMT SGM is not strict)."""

    def character(match: re.Match[str]) -> str:
        if match[1]:
            return _ENTITIES[match[1]]
        code = int(match[2]) if match[2] else int(match[3], 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]

    return _ENTITY.sub(character, text)


def _one_line(text: str) -> str:
    return re.sub(r"[ \t]*[\r\n]+[ \t]*", " ", text).strip(" \t")


def _pair_segments(src: Text, tgt: Text) -> Pairs:
    """By document and segment id, in the source's order."""
    references: dict[tuple[str, str], str] = {}
    for segment in _read_segments(tgt):
        if (segment.doc, segment.number) in references:
            raise A2DError(f"{tgt.name}: {segment} stands twice", "keep one reference of each segment")
        references[segment.doc, segment.number] = segment.text
    num_src = 0
    lonely = None
    for segment in _read_segments(src):
        num_src += 1
        reference = references.get((segment.doc, segment.number))
        if reference is None:
            lonely = lonely or segment
        elif lonely is None:
            yield segment.text, reference
    if num_src != len(references):
        raise _unequal(src, num_src, tgt, len(references), "segments")
    if lonely:
        raise A2DError(f"{src.name}: {lonely} has no partner in {tgt.name}", "check that the two files belong together")
    if not num_src:
        raise A2DError(f"{src.name}: no <seg> in it", "check the recipe's `format`")


# train.tags.* of IWSLT: one sentence a line, and lines of metadata between them.
_TED_METADATA = re.compile(
    r"\s*</?(url|keywords|speaker|talkid|reviewer|translator|doc|transcript)\b[^>]*>", re.IGNORECASE
)
_XML_START = re.compile(r"\s*<(\?xml|!doctype|mteval|srcset|refset)\b", re.IGNORECASE)
_TED_TEXT_TAG = re.compile(r"</?(?:title|description)>", re.IGNORECASE)


def _is_xml(text: Text) -> bool:
    with closing(read_lines(text)) as lines:
        return _XML_START.match(next(lines)) is not None


def _ted_sentences(lines: Iterator[str]) -> Iterator[str]:
    """Without metadata lines; titles and descriptions are translated text and stay (as in the usual preparation)."""
    with closing(lines):
        for line in lines:
            if not _TED_METADATA.match(line):
                yield _TED_TEXT_TAG.sub("", line).strip(" \t")


class _TmxReader:
    """Collects pairs from expat's events.

    `bpt`, `ept`, `it`, `ph` and `ut` hold the codes of some editor, not language: their content is left out. Other
    markup within a segment (`hi`, `sub`) is text.
    """

    _CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})

    def __init__(self, text: Text, src_lang: str, tgt_lang: str):
        self.pairs: list[Pair] = []  # taken away by the caller after each block
        self.num_units = 0
        self.languages: set[str] = set()
        self._name = text.name
        self._wanted = (src_lang, tgt_lang)
        self._unit: dict[str, str] = {}  # wanted language -> text, of the <tu> being read
        self._language: str | None = None  # wanted language of the <tuv> being read
        self._in_segment = False
        self._code_depth = 0
        self._pieces: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local_name(tag)
        if name == "tu":
            self.num_units += 1
            self._unit = {}
        elif name == "tuv":
            language = attributes.get("xml:lang") or attributes.get("lang", "")
            self.languages.add(language)
            # pt-BR is both pt and pt_BR: the one that says more.
            wanted = [wanted for wanted in self._wanted if _is_language(language, wanted)]
            self._language = max(wanted, key=len, default=None)
        elif name == "seg":
            self._in_segment, self._code_depth, self._pieces = True, 0, []
        elif name in self._CODES or self._code_depth:
            self._code_depth += 1

    def characters(self, data: str) -> None:
        if self._in_segment and not self._code_depth:
            self._pieces.append(data)

    def end(self, tag: str) -> None:
        name = _local_name(tag)
        if name == "seg":
            self._in_segment = False
            if self._language and (text := _one_line("".join(self._pieces))):
                self._unit.setdefault(self._language, text)  # of several variants of a language, the first with text
        elif name == "tu":
            if len(self._unit) == 2:
                self.pairs.append((self._unit[self._wanted[0]], self._unit[self._wanted[1]]))
        elif self._code_depth:
            self._code_depth -= 1

    def refuse_entity(self, name: str, *_: object) -> None:
        """Entities can blow up a small file, or reach for others; a TMX needs none beyond XML's own five."""
        raise A2DError(
            f"{self._name}: declares or uses the XML entity {name!r}",
            "write the text itself in place of the entity",
        )


def _local_name(tag: str) -> str:
    return tag.rpartition(":")[2].lower()


def _is_language(language: str, wanted: str) -> bool:
    """Whether a tag such as 'de-AT' or 'DE_de' is of the language 'de'."""
    language, wanted = language.lower().replace("_", "-"), wanted.lower().replace("_", "-")
    return language == wanted or language.startswith(wanted + "-")


def _read_tmx(text: Text, src_lang: str, tgt_lang: str, reporter: Reporter) -> Pairs:
    reader = _TmxReader(text, src_lang, tgt_lang)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.EntityDeclHandler = reader.refuse_entity
    parser.SkippedEntityHandler = reader.refuse_entity
    num_pairs = 0
    with open_member(text.path, text.member) as stream:
        block = stream.read(XML_BLOCK_BYTES)
        if not block:
            raise A2DError(f"{text.name}: the file is empty", f"look at {text.path}")
        while True:
            try:
                parser.Parse(block, not block)
            except expat.ExpatError as error:
                raise A2DError(
                    f"{text.name}: not well-formed XML: {error}", "mend the file, or export it again"
                ) from None
            except (ValueError, LookupError) as error:  # of the encoding that it declares
                raise A2DError(
                    f"{text.name}: its encoding cannot be read: {error}",
                    'convert it (iconv -t UTF-8), and write encoding="UTF-8" into its first line',
                ) from None
            num_pairs += len(reader.pairs)
            yield from reader.pairs
            reader.pairs.clear()
            if not block:
                break
            block = stream.read(XML_BLOCK_BYTES)
    if not num_pairs:
        raise A2DError(
            f"{text.name}: no translation unit holds both {src_lang} and {tgt_lang} "
            f"(languages found: {', '.join(sorted(reader.languages)) or 'none'})",
            "check the language pair",
        )
    if num_pairs < reader.num_units:
        reporter.info(
            f"{text.name}: {reader.num_units - num_pairs} of {reader.num_units} translation units "
            f"lack {src_lang} or {tgt_lang} and are left out"
        )
