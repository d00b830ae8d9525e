"""Pairs out of each layout in which corpora are published."""

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener import Listener

from a2d_cli.config.loader import load_recipe
from a2d_cli.config.schema import CorpusFiles
from a2d_cli.data import formats
from a2d_cli.data.download import fetch, relative_path
from a2d_cli.data.formats import Text, read_lines, read_pairs, split_name
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.reporting import Reporter

MIRROR = Path(os.environ.get("A2D_TEST_MIRROR") or Path(__file__).parents[2] / "shared" / "mirror")

# Anything but what ends a line; '\r' at an end is taken for a Windows line ending, U+FEFF at the start for a mark.
sentences = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=13).map(
    lambda text: text.rstrip("\r").lstrip("\ufeff")
)
cells = sentences.map(lambda text: text.replace("\t", " "))


def pairs_of(folder, src, tgt=None, format="plain", reporter=None, **keys):
    files = CorpusFiles(src=src, tgt=tgt, format=format, **keys)
    found = read_pairs(files, lambda name: folder / name, src_lang="de", tgt_lang="en", reporter=reporter or Reporter())
    return list(found)


def write(folder, name, data):
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return name


def tgz(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@given(
    st.lists(st.tuples(sentences, sentences), min_size=1, max_size=7),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_plain_round_trip(tmp_path_factory, pairs, compressed, end):
    folder = tmp_path_factory.mktemp("plain")
    pack = gzip.compress if compressed else bytes
    for side, name in enumerate(("a.de", "a.en")):
        write(folder, name, pack("".join(pair[side] + end for pair in pairs).encode()))
    assert pairs_of(folder, "a.de", "a.en") == pairs


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=7))
def test_tsv_round_trip(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("tsv")
    write(folder, "a.tsv", "".join("\t".join(row) + "\n" for row in rows))
    assert pairs_of(folder, "a.tsv", format="tsv", src_column=3, tgt_column=1) == [(row[2], row[0]) for row in rows]


def test_only_newlines_end_a_line(tmp_path):
    odd = "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\rh"
    write(tmp_path, "a", f"\ufeff{odd}\r\nzwei")
    assert list(read_lines(Text.find("a", tmp_path.joinpath))) == [odd, "zwei"]


def test_members_of_archives(tmp_path):
    inner = tgz({"de-en/a.de": b"eins\nzwei\n", "de-en/a.en": b"one\ntwo\n"})
    write(tmp_path, "outer.tgz", tgz({"texts/de-en.tgz": inner}))
    place = "outer.tgz:texts/de-en.tgz:de-en/a"
    assert pairs_of(tmp_path, f"{place}.de", f"{place}.en") == [("eins", "one"), ("zwei", "two")]


def test_reading_does_not_hold_the_file(tmp_path):
    write(tmp_path, "a", (b"eine lange Zeile von vielen, " * 8 + b"\n") * 50_000)
    tracemalloc.start()
    pairs = read_pairs(CorpusFiles("a", "a"), tmp_path.joinpath, src_lang="de", tgt_lang="en", reporter=Reporter())
    assert sum(1 for _ in pairs) == 50_000
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 3_000_000


@pytest.mark.parametrize("src_lines, tgt_lines", [(101, 4004), (4004, 101), (101, 102), (102, 101)])
def test_sides_of_different_length_name_both_counts(tmp_path, src_lines, tgt_lines):
    write(tmp_path, "my.de", "x\n" * src_lines)
    write(tmp_path, "my.en", "y\n" * tgt_lines)
    with pytest.raises(A2DError, match=f"my.de has {src_lines} lines, my.en has {tgt_lines} .*hint"):
        pairs_of(tmp_path, "my.de", "my.en")


def test_invalid_utf8_names_file_and_line(tmp_path):
    write(tmp_path, "a.de", "gut\ngut\nschön".encode("latin-1"))
    with pytest.raises(A2DError, match=r"a.de: line 3 is not UTF-8 \(byte 4 is 0xf6\).*iconv"):
        pairs_of(tmp_path, "a.de", "a.de")


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-32"])
def test_a_file_with_another_byte_order_mark_is_told_how_to_be_converted(tmp_path, encoding):
    write(tmp_path, "a.de", "gut\nschön".encode(encoding))
    with pytest.raises(A2DError, match=rf"line 1 is not UTF-8 .* hint: convert the file: iconv -f {encoding} -t UTF-8"):
        pairs_of(tmp_path, "a.de", "a.de")


def test_a_file_of_carriage_returns_is_told_how_to_be_converted(tmp_path):
    write(tmp_path, "a.de", "gut\rschön\rneu\r")
    with pytest.raises(A2DError, match="a.de: its lines end in a carriage return alone .*convert it: tr"):
        pairs_of(tmp_path, "a.de", "a.de")


def test_a_zip_archive_is_no_text(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.de", "w") as archive:
        archive.writestr("b.de", "gut\n" * 1000)
    with pytest.raises(A2DError, match="a.de: a zip archive .*unpack it"):
        pairs_of(tmp_path, "a.de", "a.de")


def test_columns_that_were_not_chosen_are_told_with_what_was_read(tmp_path):
    class Heard(Reporter):
        lines: list[str] = []  # noqa: RUF012

        def info(self, message: str) -> None:
            self.lines.append(message)

    write(tmp_path, "a.tsv", "id1\tTwo dogs\tZwei Hunde\nid2\tx\ty\n")
    assert pairs_of(tmp_path, "a.tsv", format="tsv", reporter=Heard())[0] == ("id1", "Two dogs")
    told = "a.tsv: 3 columns; read 1 as de ('id1') and 2 as en ('Two dogs'); others by --columns SRC,TGT"
    assert Heard.lines == [told]
    chosen = {"src_column": 3, "tgt_column": 2}
    assert pairs_of(tmp_path, "a.tsv", format="tsv", reporter=Heard(), **chosen)[0] == ("Zwei Hunde", "Two dogs")
    assert Heard.lines == [told]


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_LINE_BYTES", 2**20)
    write(tmp_path, "a", b"x\n" + b"y" * (2**20 + 1))
    with pytest.raises(A2DError, match="a: line 2 is longer than 1 MiB"):
        pairs_of(tmp_path, "a", "a")


@pytest.mark.parametrize("format, tgt", [("plain", "a"), ("tsv", None), ("tmx", None), ("sgm", "a"), ("ted", "a")])
@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0)])
def test_an_empty_file(tmp_path, format, tgt, data):
    write(tmp_path, "a", data)
    with pytest.raises(A2DError, match="a: the file is empty"):
        pairs_of(tmp_path, "a", tgt, format)


def test_a_missing_file(tmp_path):
    with pytest.raises(A2DError, match="gone.de: no such file"):
        pairs_of(tmp_path, "gone.de", "gone.en")


def test_missing_columns_name_file_and_line(tmp_path):
    write(tmp_path, "a.tsv", "eins\tone\n\nzwei\n")
    with pytest.raises(A2DError, match=r"a.tsv: line 3 has 1 tab-separated column\(s\), but columns 1 and 2"):
        pairs_of(tmp_path, "a.tsv", format="tsv")
    with pytest.raises(A2DError, match="a.tsv: line 1 has 2 .* columns 0 and 1"):
        pairs_of(tmp_path, "a.tsv", format="tsv", src_column=0, tgt_column=1)
    write(tmp_path, "blank.tsv", "\n\n")
    with pytest.raises(A2DError, match="blank.tsv: no line holds a pair"):
        pairs_of(tmp_path, "blank.tsv", format="tsv")


@pytest.mark.parametrize("format, tgt", [("plain", None), ("sgm", None), ("tsv", "b"), ("tmx", "b")])
def test_one_file_or_two(tmp_path, format, tgt):
    with pytest.raises(ConfigError, match=f"a: format {format} .*`tgt`"):
        pairs_of(tmp_path, "a", tgt, format)


SGM_SRC = """<srcset setid="newstest" srclang="any">
<doc docid="b.1" genre="news" origlang="de">
<hl>
<seg id="1">Müller &amp; Söhne &lt;3 &quot;so&quot; &#228;&#xE4; AT&T &copy; R&D;</seg>
</hl>
<p>
<seg id="2"> Zwei  Zeilen
   lang </seg> <seg id="3">drei</seg>
</p>
</doc>
<DOC docID='b.2'><seg id=1>vier</seg></DOC>
</srcset>
"""
SGM_REF = """<refset setid="newstest" srclang="any" trglang="en">
<doc sysid="ref" docid="b.2"><seg id="1">four</seg></doc>
<doc sysid="ref" docid="b.1"><seg id="1">one</seg><seg id="3">three</seg><seg id="2">two</seg></doc>
</refset>
"""


def test_sgm_pairs_by_document_and_segment(tmp_path):
    write(tmp_path, "src.sgm", SGM_SRC)
    write(tmp_path, "ref.sgm", SGM_REF)
    assert pairs_of(tmp_path, "src.sgm", "ref.sgm", "sgm") == [
        ('Müller & Söhne <3 "so" ää AT&T &copy; R&D;', "one"),
        ("Zwei  Zeilen lang", "two"),
        ("drei", "three"),
        ("vier", "four"),
    ]


def test_sgm_errors(tmp_path):
    write(tmp_path, "src", SGM_SRC)
    for name, text, message in [
        ("fewer", SGM_REF.replace('<seg id="2">two</seg>', ""), "src has 4 segments, fewer has 3"),
        ("other", SGM_REF.replace('"b.2"', '"b.3"'), "src: doc 'b.2' seg '1' has no partner in other"),
        ("twice", SGM_REF.replace('id="3"', 'id="1"'), "twice: doc 'b.1' seg '1' stands twice"),
        ("cut", SGM_REF[: SGM_REF.index("two") + 3], "cut: doc 'b.1' seg '2' has no </seg>"),
        ("open", SGM_REF.replace("three</seg>", "three"), "open: doc 'b.1' seg '3' has no </seg>"),
    ]:
        write(tmp_path, name, text)
        with pytest.raises(A2DError, match=message):
            pairs_of(tmp_path, "src", name, "sgm")
    write(tmp_path, "plain", "no tags\n")
    with pytest.raises(A2DError, match="plain: no <seg> in it"):
        pairs_of(tmp_path, "plain", "plain", "sgm")


TED_TAGS = """<url>http://www.ted.com/talks/lang/{0}/a_talk.html</url>
<keywords>talks, art</keywords>
<speaker>A Speaker</speaker>
<talkid>23</talkid>
<title>{0} title</title>
<description>TED Talk: {0} description</description>
<reviewer href="x">R</reviewer>
<translator href="y">T</translator>
 {0} sentence < 3 & <laughter>
{0} last
"""


def test_ted_training_text(tmp_path):
    write(tmp_path, "train.tags.de-en.de", TED_TAGS.format("de").replace("<translator", "\n<translator", 1))
    write(tmp_path, "train.tags.de-en.en", TED_TAGS.format("en").replace("<translator", "\n<translator", 1))
    assert pairs_of(tmp_path, "train.tags.de-en.de", "train.tags.de-en.en", "ted") == [
        ("de title", "en title"),
        ("TED Talk: de description", "TED Talk: en description"),
        ("", ""),
        ("de sentence < 3 & <laughter>", "en sentence < 3 & <laughter>"),
        ("de last", "en last"),
    ]


def test_ted_dev_and_test_files(tmp_path):
    xml = """<?xml version="1.0" encoding="UTF-8"?>
<mteval><{set}set setid="dev2010"><doc docid="69" genre="lectures">
<keywords>k</keywords><talkid>69</talkid><title>T</title>
<seg id="1"> {0} &amp; one </seg>
<seg id="2"> {0} two </seg>
</doc></{set}set></mteval>
"""
    write(tmp_path, "a.de.xml", xml.format("de", set="src"))
    write(tmp_path, "a.en.xml", xml.format("en", set="ref"))
    assert pairs_of(tmp_path, "a.de.xml", "a.en.xml", "ted") == [
        ("de & one", "en & one"),
        ("de two", "en two"),
    ]


TMX = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en" segtype="sentence"/><body>
<tu><tuv xml:lang="EN-us"><seg>House &amp; garden</seg></tuv>
    <tuv xml:lang="de_AT"><note>n</note>\
<seg>Haus <bpt i="1">&lt;b&gt;<sub>x</sub></bpt>und <hi>Gar</hi>ten<ept i="1"/> ö</seg></tuv>
    <tuv xml:lang="de"><seg>second variant</seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>seul</seg></tuv><tuv xml:lang="en"><seg>alone</seg></tuv></tu>
<tu><tuv lang="de"><seg>zwei
  Zeilen</seg></tuv><tuv lang="en"><seg>two lines</seg></tuv></tu>
<tu><tuv xml:lang="den"><seg>Slavey</seg></tuv><tuv xml:lang="en"><seg>not German</seg></tuv></tu>
</body></tmx>
"""


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "ISO-8859-1"])
@pytest.mark.parametrize("block_bytes", [1, 1 << 16])
def test_tmx(tmp_path, monkeypatch, encoding, block_bytes):
    monkeypatch.setattr(formats, "XML_BLOCK_BYTES", block_bytes)
    write(tmp_path, "a.tmx", TMX.format(encoding=encoding).encode(encoding))
    heard = Listener()
    assert pairs_of(tmp_path, "a.tmx", format="tmx", reporter=heard) == [
        ("Haus und Garten ö", "House & garden"),
        ("zwei Zeilen", "two lines"),
    ]
    assert heard.lines == ["a.tmx: 2 of 4 translation units lack de or en and are left out"]


BOMB = """<?xml version="1.0"?>
<!DOCTYPE tmx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]>
<tmx><body><tu><tuv xml:lang="de"><seg>&b;</seg></tuv><tuv xml:lang="en"><seg>x</seg></tuv></tu></body></tmx>"""


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.replace('a "aaaaaaaaaa"', 'a SYSTEM "file:///etc/passwd"'),
        BOMB.replace("ENTITY a", "ENTITY % a").replace("&a;", ""),
        TMX.format(encoding="UTF-8").replace("two lines", "two&nbsp;lines"),
    ],
)
def test_tmx_entities_are_refused(tmp_path, text):
    write(tmp_path, "a.tmx", text)
    with pytest.raises(A2DError, match="a.tmx: declares or uses the XML entity '(a|nbsp)'"):
        pairs_of(tmp_path, "a.tmx", format="tmx")


@pytest.mark.parametrize("encoding", ["GB2312", "Shift_JIS", "UTF-32", "foo"])
def test_a_tmx_whose_encoding_cannot_be_read(tmp_path, encoding):
    write(tmp_path, "a.tmx", TMX.format(encoding=encoding).encode())
    with pytest.raises(A2DError, match=r"a.tmx: (its encoding cannot be read|not well-formed XML).* hint: "):
        pairs_of(tmp_path, "a.tmx", format="tmx")


def test_a_tmx_of_a_language_and_its_region(tmp_path):
    units = "<tu><tuv xml:lang='pt-PT'><seg>eu</seg></tuv><tuv xml:lang='pt-BR'><seg>a gente</seg></tuv></tu>"
    write(tmp_path, "a.tmx", f"<tmx><body>{units}</body></tmx>")
    files = CorpusFiles("a.tmx", format="tmx")
    found = read_pairs(files, lambda name: tmp_path / name, src_lang="pt", tgt_lang="pt_BR", reporter=Listener())
    assert list(found) == [("eu", "a gente")]


def test_an_empty_variant_of_a_tmx_hides_no_full_one(tmp_path):
    units = "<tu><tuv xml:lang='de-DE'><seg> </seg></tuv><tuv xml:lang='de-AT'><seg>Servus</seg></tuv>"
    units += "<tuv xml:lang='en'><seg>Hi</seg></tuv></tu>"
    write(tmp_path, "a.tmx", f"<tmx><body>{units}</body></tmx>")
    assert pairs_of(tmp_path, "a.tmx", format="tmx") == [("Servus", "Hi")]


def test_tmx_errors(tmp_path):
    write(tmp_path, "a.tmx", TMX.format(encoding="UTF-8")[:-30])
    with pytest.raises(A2DError, match="a.tmx: not well-formed XML"):
        pairs_of(tmp_path, "a.tmx", format="tmx")
    write(tmp_path, "b.tmx", TMX.format(encoding="UTF-8").replace('"en"', '"it"').replace("EN-us", "it"))
    with pytest.raises(
        A2DError, match=r"b.tmx: no translation unit holds both de and en \(languages found: de, de_AT, den"
    ):
        pairs_of(tmp_path, "b.tmx", format="tmx")


def recipe_pairs(name, mirror, folder):
    """The number of pairs of each corpus of a recipe, read from a mirror. Corpora that are not there: None."""
    recipe = load_recipe(name)
    data = recipe.data

    def locate(download):
        if not (mirror / relative_path(data.downloads[download].url)).exists():
            raise FileNotFoundError
        return fetch(data.downloads[download], folder, mirror=str(mirror), reporter=Reporter()).path

    def count(files):
        try:
            pairs = read_pairs(files, locate, src_lang=recipe.src_lang, tgt_lang=recipe.tgt_lang, reporter=Reporter())
            return sum(1 for _ in pairs)
        except FileNotFoundError:
            assert files.optional
            return None

    corpora = {"train": data.train, "valid": data.valid, **data.tests}
    return {name: [count(files) for files in group] for name, group in corpora.items() if group}


def sgm(lang, kind, num_segments):
    segments = "".join(f'<seg id="{n}">{lang} {n}</seg>\n' for n in range(1, num_segments + 1))
    return f'<{kind}set setid="x" srclang="any">\n<doc docid="d">\n<p>\n{segments}</p>\n</doc>\n</{kind}set>\n'.encode()


def test_the_iwslt14_recipe_fits_the_layout_of_its_archive(tmp_path):
    members = {"de-en/README": b"-", "de-en/train.en": b"-"}
    for lang, kind in (("de", "src"), ("en", "ref")):
        members[f"de-en/train.tags.de-en.{lang}"] = TED_TAGS.format(lang).encode()
        for num_segments, name in enumerate(
            ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012"), start=2
        ):
            members[f"de-en/IWSLT14.{name}.de-en.{lang}.xml"] = sgm(lang, kind, num_segments)
    place = tmp_path / "mirror/dl.fbaipublicfiles.com/fairseq/data/iwslt14/de-en.tgz"
    place.parent.mkdir(parents=True)
    place.write_bytes(tgz(members))
    found = recipe_pairs("iwslt14-deen", tmp_path / "mirror", tmp_path / "raw")
    assert found == {"train": [4], "test": [2, 3, 4, 5, 6]}


def test_the_wmt14_recipe_fits_the_layout_of_its_archives(tmp_path):
    def lines(stem, num_lines):
        return {f"{stem}.de-en.{lang}": f"{lang}\n".encode() * num_lines for lang in ("de", "en")}

    archives = {
        "wmt13/training-parallel-europarl-v7": lines("training/europarl-v7", 7),
        "wmt13/training-parallel-commoncrawl": lines("commoncrawl", 5),
        "wmt14/training-parallel-nc-v9": lines("training/news-commentary-v9", 3),
        "wmt14/dev": {
            "dev/newstest2013-src.en.sgm": sgm("en", "src", 11),
            "dev/newstest2013-ref.de.sgm": sgm("de", "ref", 11),
        },
        "wmt14/test-full": {
            "test-full/newstest2014-deen-src.en.sgm": sgm("en", "src", 13),
            "test-full/newstest2014-deen-ref.de.sgm": sgm("de", "ref", 13),
        },
    }
    for name, members in archives.items():
        place = tmp_path / f"mirror/www.statmt.org/{name}.tgz"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(tgz(members))
    found = recipe_pairs("wmt14-ende", tmp_path / "mirror", tmp_path / "raw")
    assert found == {"train": [7, 5, 3], "valid": [11], "newstest2014": [13]}


MULTI30K = {
    "train": [29_000],
    "valid": [1_014],
    "test_2016_flickr": [1_000],
    "test_2017_flickr": [None],
    "test_2017_mscoco": [None],
    "test_2018_flickr": [None],
}


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror of the real corpora: set A2D_TEST_MIRROR")
@pytest.mark.parametrize(
    "recipe, sizes",
    [
        ("multi30k-ende", MULTI30K),
        ("multi30k-deen", MULTI30K),
        ("multi30k-enfr", MULTI30K),
        ("wmt22-dedsb", {"train": [40_194], "valid": [1_353], "wmt25_dev": [4_000]}),
        ("tatoeba-deen", {"train": [169_197]}),
    ],
)
def test_recipes_read_the_real_corpora(tmp_path, recipe, sizes):
    found = recipe_pairs(recipe, MIRROR, tmp_path)
    assert found.keys() == sizes.keys()
    for name, counts in found.items():
        if sizes[name] != [None]:  # optional: a mirror may hold them or not
            assert counts == sizes[name]


def test_a_colon_in_a_path_that_is_a_file_begins_no_member(tmp_path):
    folder = tmp_path / "12:30"
    folder.mkdir()
    path = str(folder / "x:y.de")
    assert split_name(path) == (str(tmp_path / "12"), "30/x:y.de")  # as long as there is no such file
    write(folder, "x:y.de", "eins\n")
    assert split_name(path) == (path, "")
    assert Text.find(path, Path) == Text(path, Path(path))


def test_a_download_and_an_archive_have_members_even_beside_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "corpus:x.de", "eins\n")
    assert split_name("corpus:x.de") == ("corpus", "x.de")
    assert split_name("corpus") == ("corpus", "")
    assert split_name("./a.tgz:b/c:d") == ("./a.tgz", "b/c:d")
