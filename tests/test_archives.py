"""Members as streams: every packing, every nesting; and every refusal."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from a2d_cli.data.archives import Limits, open_member
from a2d_cli.errors import A2DError

TEXT = "Grüße\u2028aus\x85Köln\n".encode() * 7


def tar_bytes(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def read(path, member="", limits=None):
    with open_member(path, member, *([limits] if limits else [])) as stream:
        return stream.read()


def written(tmp_path, data: bytes, name="corpus.bin"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda b: gzip.compress(b[:5]) + gzip.compress(b[5:]),
        lambda b: bz2.compress(b[:5]) + bz2.compress(b[5:]) + bytes(8),
        lambda b: lzma.compress(b[:5]) + bytes(4) + lzma.compress(b[5:]),
    ],
)
def test_a_single_file_however_compressed(tmp_path, pack):
    assert read(written(tmp_path, pack(TEXT))) == TEXT


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("stored, asked", [("a/b.de", "a/b.de"), ("./a/b.de", "a/b.de"), ("a/b.de", "./a/b.de")])
def test_a_member_of_a_tar(tmp_path, mode, stored, asked):
    path = written(tmp_path, tar_bytes({"README": b"x", stored: TEXT, "z": b"y"}, mode))
    assert read(path, asked) == TEXT


def test_a_compressed_member_is_decompressed(tmp_path):
    assert read(written(tmp_path, tar_bytes({"a.de.gz": gzip.compress(TEXT)})), "a.de.gz") == TEXT
    assert read(written(tmp_path, zip_bytes({"a.de.gz": gzip.compress(TEXT)})), "a.de.gz") == TEXT


@pytest.mark.parametrize("outer", [tar_bytes, zip_bytes])
@pytest.mark.parametrize("inner", [tar_bytes, zip_bytes])
def test_an_archive_in_an_archive(tmp_path, outer, inner):
    path = written(tmp_path, outer({"texts/de-en": inner({"de-en/train.de": TEXT}), "other": b""}))
    assert read(path, "texts/de-en:de-en/train.de") == TEXT


def test_nothing_is_written(tmp_path):
    path = written(tmp_path, tar_bytes({"../../evil": b"x", "/etc/evil": b"x", "good": TEXT}))
    assert read(path, "good") == TEXT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/../../evil", "good:"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    path = written(tmp_path, tar_bytes({"../../evil": b"x", "/etc/evil": b"x", "good": TEXT}))
    with pytest.raises(A2DError, match="corpus.bin.*is not a name inside an archive"):
        read(path, name)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("a.de")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(A2DError, match="corpus.bin: member 'a.de' is a link, a folder or a device"):
        read(written(tmp_path, buffer.getvalue()), "a.de")


def test_links_of_a_zip_are_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("a.de")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(A2DError, match="member 'a.de' is a link"):
        read(written(tmp_path, buffer.getvalue()), "a.de")


def test_an_encrypted_member_is_refused(tmp_path):
    data = bytearray(zip_bytes({"a.de": TEXT}))
    data[6] |= 1  # the flag in the local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the index
    with pytest.raises(A2DError, match="member 'a.de' is encrypted"):
        read(written(tmp_path, bytes(data)), "a.de")


SMALL = Limits(ratio_free_bytes=10_000, max_ratio=20)
BOMB = b"\0" * 1_000_000


@pytest.mark.parametrize(
    "data, member",
    [
        (gzip.compress(BOMB), ""),
        (tar_bytes({"a": BOMB}), "a"),
        (zip_bytes({"a": BOMB}), "a"),
        (tar_bytes({"before": BOMB, "a": b"x"}), "a"),
        (tar_bytes({"in.tgz": tar_bytes({"a": BOMB})}), "in.tgz:a"),
        (zip_bytes({"in.gz": gzip.compress(BOMB)}), "in.gz"),
    ],
)
def test_bombs_are_refused(tmp_path, data, member):
    with pytest.raises(
        A2DError, match="corpus.bin.*unpacks to more than [0-9,]+ bytes, too much for an archive of its size"
    ):
        read(written(tmp_path, data), member, SMALL)
    assert read(written(tmp_path, data), member)  # the usual limits let small files be


def test_the_bound_on_bytes(tmp_path):
    with pytest.raises(A2DError, match="unpacks to more than 100 bytes"):
        read(written(tmp_path, gzip.compress(TEXT)), "", Limits(max_bytes=100))


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_too_many_members_are_refused(tmp_path, pack):
    path = written(tmp_path, pack({f"m{i}": b"" for i in range(11)}))
    with pytest.raises(A2DError, match="more than 7 members"):
        read(path, "m10", Limits(max_members=7))


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_a_missing_member_lists_the_nearest(tmp_path, pack):
    path = written(tmp_path, pack({"de-en/train.tags.de-en.de": TEXT, "de-en/README": b"", "x/dev.en": b""}))
    with pytest.raises(
        A2DError, match=r"no member 'train.tags.de-en.en' among 3 \| hint: the nearest are: de-en/train"
    ):
        read(path, "train.tags.de-en.en")
    with pytest.raises(A2DError, match="x/dev.en"):
        read(path, "other/place/dev.en")


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize(
    "data, member",
    [
        (gzip.compress(bytes(range(256)) * 99), ""),
        (tar_bytes({"a": TEXT * 999}, "w"), "a"),
        (zip_bytes({"a": TEXT}), "a"),
    ],
)
def test_cut_short(tmp_path, data, member, cut):
    with pytest.raises(A2DError, match="corpus.bin.*damaged or cut short"):
        read(written(tmp_path, data[: int(len(data) * cut)]), member)


def test_flipped_bits(tmp_path):
    data = bytearray(gzip.compress(bytes(range(251)) * 99))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(A2DError, match="damaged or cut short"):
        read(written(tmp_path, bytes(data)))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("place", [0, 2, 12, 40])
def test_damage_in_a_later_stream_is_no_end_of_the_file(tmp_path, pack, place):
    first, second = pack(TEXT * 99), bytearray(pack(bytes(range(251)) * 99))
    second[place] ^= 0x40
    with pytest.raises(A2DError, match="damaged or cut short"):
        read(written(tmp_path, first + bytes(second)))


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
@pytest.mark.parametrize("rest", [b"x", b"not a stream at all", bytes(3) + b"x"])
def test_what_follows_a_stream_and_is_none_is_damage(tmp_path, pack, rest):
    with pytest.raises(A2DError, match="damaged or cut short"):
        read(written(tmp_path, pack(TEXT) + rest))
    with pytest.raises(A2DError, match="damaged or cut short: its end is missing"):
        read(written(tmp_path, pack(TEXT * 99)[:-9]))


def test_not_an_archive(tmp_path):
    with pytest.raises(A2DError, match="corpus.bin: not a tar or zip archive"):
        read(written(tmp_path, TEXT * 99), "a")
    with pytest.raises(A2DError, match="corpus.bin: not a tar or zip archive"):
        read(written(tmp_path, b""), "a")


def test_no_such_file(tmp_path):
    with pytest.raises(A2DError, match="gone.tgz: no such file"):
        read(tmp_path / "gone.tgz", "a")
    with pytest.raises(A2DError, match="cannot be read: Is a directory"):
        read(tmp_path)
