"""What we read from the directory of an archive is what zipfile reads, whatever wrote it."""

import io
import os
import tempfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.errors import LimitExceededError
from streamzarr.stores.zip_directory import Directory, Member

names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0/\\"), min_size=1, max_size=20
)
beside = st.binary(max_size=30).filter(lambda data: b"PK" not in data)  # a signature confuses zipfile
members = st.lists(st.tuples(names, st.binary(max_size=50)), max_size=8)


def directory_of(raw):
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        return Directory(file.fileno())


@given(
    members=members,
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    comment=beside,
    before=beside,
    wide=st.booleans(),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_it_is_what_zipfile_reads(members, method, comment, before, wide):
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        if wide:  # sizes and counts in their 64-bit places
            patch.setattr(zipfile, "ZIP64_LIMIT", 3)
            patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.comment = comment
            for name, data in members:
                with archive.open(name, "w", force_zip64=wide) as member:
                    member.write(data)
    raw = before + file.getvalue()
    found = directory_of(raw)
    expected = {
        info.filename: Member(
            info.header_offset,
            info.file_size,
            info.compress_size,
            info.CRC,
            info.compress_type,
            info.flag_bits,
        )
        for info in zipfile.ZipFile(io.BytesIO(raw)).infolist()
    }
    assert {name: found.get(name) for name in found} == expected
    assert found.get("never/there") is None


@settings(max_examples=300)
@given(st.data())
def test_no_damage_raises_anything_else(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(3):
            archive.writestr(f"c/{index}", os.urandom(20))
    raw = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = directory_of(raw)
    except (zipfile.BadZipFile, UnicodeDecodeError, LimitExceededError):
        return
    for name in found:
        member = found.get(name)
        assert 0 <= member.offset + member.packed_size <= found.start <= len(raw)


def test_archives_of_another_hand():
    """An archive without members is its end record alone; what is shorter is none."""
    assert list(directory_of(b"PK\x05\x06" + bytes(18))) == []
    for short in (b"", b"PK\x05\x06", b"PK\x05\x06" + bytes(17)):
        with pytest.raises(zipfile.BadZipFile):
            directory_of(short)
