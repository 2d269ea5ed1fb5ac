"""Archives as people and tools make them: links, odd names, wrapping folders, members that are no files, bombs."""

import bz2
import contextlib
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.files import Files, open_files
from longtail.sources.folder import Folder
from longtail.sources.limits import Limits
from longtail.sources.members import Members
from longtail.sources.tree import walk

Load = Callable[..., Any]
Pack = Callable[..., Files]


def png(colour: int = 0) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.full((4, 4), colour, np.uint8)).save(data, "PNG")
    return data.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def write_tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            tar.addfile(member(name, size=len(data)), io.BytesIO(data))
        for other in others:
            tar.addfile(other)
    return path


def write_zip(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the constructor would mend it
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return path


def opened(path: Path, tmp_path: Path, limits: Limits | None = None) -> Files:
    return open_files(path, Request((4, 4, 1), tmp_path, limits=limits or Limits()))


LINKS = [
    ("symbolic, beside it", "cats/2.png", tarfile.SYMTYPE, "1.png", b"cat"),
    ("symbolic, across classes", "cats/2.png", tarfile.SYMTYPE, "../dogs/1.png", b"dog"),
    ("symbolic, absolute", "cats/2.png", tarfile.SYMTYPE, "/dogs/1.png", b"dog"),
    ("symbolic, through a link to a folder", "cats/2.png", tarfile.SYMTYPE, "../hounds/1.png", b"dog"),
    ("symbolic, to a link", "cats/2.png", tarfile.SYMTYPE, "../a-link.png", b"dog"),
    ("hard, across classes", "cats/2.png", tarfile.LNKTYPE, "dogs/1.png", b"dog"),
    ("hard, with a dot", "cats/2.png", tarfile.LNKTYPE, "./cats/1.png", b"cat"),
]


@pytest.mark.parametrize(("name", "kind", "target", "content"), [row[1:] for row in LINKS], ids=[r[0] for r in LINKS])
def test_a_link_in_a_tar_is_the_member_that_it_names(
    tmp_path: Path, name: str, kind: bytes, target: str, content: bytes
) -> None:
    others = [member(name, kind, target), member("a-link.png", tarfile.SYMTYPE, "dogs/1.png")]
    others.append(member("hounds", tarfile.SYMTYPE, "dogs"))
    files = opened(write_tar(tmp_path / "a.tar", {"cats/1.png": b"cat", "dogs/1.png": b"dog"}, *others), tmp_path)
    assert files.read(name) == content
    assert files.faults == {"hounds": "a link to 'dogs', which is read already"}


def test_a_link_in_a_zip_is_the_member_that_it_names(tmp_path: Path) -> None:
    links = {"cats/2.png": "../dogs/1.png", "cats/3.png": "../../etc/passwd"}
    files = opened(write_zip(tmp_path / "a.zip", {"cats/1.png": b"cat", "dogs/1.png": b"dog"}, links), tmp_path)
    assert files.read("cats/2.png") == b"dog"
    assert list(files.faults) == ["cats/3.png"]


NO_FILES = [
    ("leads out", member("cats/2.png", tarfile.SYMTYPE, "../../etc/passwd"), "no file in the archive"),
    ("leads out at once", member("cats/2.png", tarfile.LNKTYPE, "../../../etc/passwd"), "no file in the archive"),
    ("leads to nothing", member("cats/2.png", tarfile.SYMTYPE, "9.png"), "no file in the archive"),
    ("leads to itself", member("cats/2.png", tarfile.SYMTYPE, "2.png"), "no file in the archive"),
    ("a pipe", member("cats/2.png", tarfile.FIFOTYPE), "no regular file"),
    ("a device", member("cats/2.png", tarfile.CHRTYPE), "no regular file"),
    ("a disk", member("cats/2.png", tarfile.BLKTYPE), "no regular file"),
    ("a name with ..", member("../2.png", size=0), "leads out"),
    ("a name with .. in it", member("cats/../../2.png", size=0), "leads out"),
    ("a name that is there", member("./cats/1.png", size=0), "two members of one name"),
    ("a folder that is a file", member("cats/1.png/x.png", size=0), "a folder of that name"),
    ("a link to a folder above", member("cats/up", tarfile.SYMTYPE, ".."), "a folder above"),
    ("a link to another class", member("cats/more", tarfile.SYMTYPE, "../dogs"), "read already"),
]


@pytest.mark.parametrize(("odd", "words"), [row[1:] for row in NO_FILES], ids=[row[0] for row in NO_FILES])
def test_what_is_no_file_of_the_archive_is_a_problem(load: Load, root: Path, odd: tarfile.TarInfo, words: str) -> None:
    write_tar(root / "a.tar", {"cats/1.png": png(), "dogs/1.png": png()}, odd)
    loaded = load(Folder(kind="folder", path="a.tar"))
    unreadable = [line for line in loaded.problems.found if "unreadable entry" in line]
    assert len(unreadable) == 1
    assert words in unreadable[0]


NAMES = {
    "as they are": "{}",
    "with a dot": "./{}",
    "absolute": "/{}",
    "absolute, in folders": "/home/someone/photos/{}",
    "of Windows": "C:\\photos\\{}",
    "wrapped once": "photos/{}",
    "wrapped thrice": "a/b/c/{}",
}


@pytest.mark.parametrize("form", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_names_of_every_form_give_the_same_classes(load: Load, root: Path, form: str, kind: str) -> None:
    files = {form.format(f"{label}/{i}.png"): png(i) for label in ("cats", "dogs") for i in range(2)}
    if form.startswith("C:"):
        files = {name.replace("/", "\\"): data for name, data in files.items()}
    files |= {form.format("README.md"): b"about"}
    if kind == "zip":
        write_zip(root / "a.zip", files)
    else:
        write_tar(root / f"a.{kind}", files, mode=f"w:{kind[4:]}")
    loaded = load(Folder(kind="folder", path=f"a.{kind}"), (4, 4, 1))
    assert loaded.problems.found == []
    assert loaded.samples["id"].tolist() == ["cats/0.png", "cats/1.png", "dogs/0.png", "dogs/1.png"]
    assert loaded.pixels[:, 0, 0, 0].tolist() == [0, 1, 0, 1]


def test_utf8_names_of_a_zip_that_does_not_say_so(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "mac.zip", {"caf\u00e9/1.png": b"x"})
    data = path.read_bytes().replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00").replace(b"\x00\x08\x00\x00", b"\x00" * 4)
    path.write_bytes(data)
    assert not zipfile.ZipFile(path).infolist()[0].flag_bits & 0x800
    assert opened(path, tmp_path).names == ["caf\u00e9/1.png"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_that_inflates_beyond_the_limit_is_refused(tmp_path: Path, kind: str) -> None:
    path = write_tar(tmp_path / f"bomb.tar.{kind}", {"a/1.png": bytes(3 * 10**6)}, mode=f"w:{kind}")
    with pytest.raises(DataError, match=r"bomb.*more than 2 times its size; raise `limits\.inflation`"):
        opened(path, tmp_path, Limits(inflation=2))
    scratch = [file for file in tmp_path.glob("*.tar") if file != path]
    assert sum(file.stat().st_size for file in scratch) <= 2 * 10**6


def test_a_member_beyond_the_limit_is_not_inflated(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {"a/1.png": bytes(3 * 10**6)})
    with pytest.raises(OSError, match=r"3 MB where 2 are allowed; raise `limits\.file_megabytes`"):
        opened(path, tmp_path, Limits(file_megabytes=2)).read("a/1.png")


def test_two_archives_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_tar(tmp_path / folder / "a.tar.gz", {"a/1.png": folder.encode()}, mode="w:gz")
    files = [opened(tmp_path / folder / "a.tar.gz", tmp_path) for folder in ("one", "two")]
    assert [one.read("a/1.png") for one in files] == [b"one", b"two"]


PARTS = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c.png"]), min_size=1, max_size=5).map("/".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PARTS, st.none() | PARTS), max_size=8))
def test_every_member_is_a_file_or_a_fault_and_every_walk_ends(entries: list[tuple[str, str | None]]) -> None:
    members = Members()
    added = [members.add(name, link=target) for name, target in entries]
    found = walk("/", members.children)
    for place in {place for place in added if place}:
        told = {*found.files, *found.faults}
        inside = [fault for fault in found.faults if place.startswith(f"{fault}/")]
        assert place in told or f"{place} (again)" in told or inside, place
    assert set(found.files.values()) <= members.files


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"x/1.png": b"x"}).read_bytes()
    path = write_tar(tmp_path / "a.tar", {"cats/1.png": b"cat", "dogs/last.zip": inner})
    assert opened(path, tmp_path).names == ["cats/1.png", "dogs/last.zip"]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("archives")
    files = {f"{label}/{i}.png": bytes([i]) * 700 for label in ("cats", "dogs") for i in range(3)}
    link = member("cats/9.png", tarfile.SYMTYPE, "../dogs/1.png")
    made = {kind: write_tar(folder / f"a.{kind or 'tar'}", files, link, mode=f"w:{kind}") for kind in ("", "gz", "xz")}
    made["zip"] = write_zip(folder / "a.zip", files, {"cats/9.png": "../dogs/1.png"})
    return {kind: path.read_bytes() for kind, path in made.items()}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["", "gz", "xz", "zip"]), st.integers(0, 10**6), st.binary(min_size=1, max_size=12), st.booleans()
)
def test_a_damaged_archive_is_a_sentence_or_gives_its_files(
    archives: dict[str, bytes], tmp_path: Path, kind: str, place: int, wrong: bytes, cut: bool
) -> None:
    data = archives[kind]
    place %= len(data)
    (tmp_path / "damaged").write_bytes(data[:place] + wrong + (b"" if cut else data[place + len(wrong) :]))
    for plain in tmp_path.glob("*.tar"):
        plain.unlink()
    with contextlib.suppress(DataError):
        files = opened(tmp_path / "damaged", tmp_path, Limits(file_megabytes=1))
        for name in files.names:
            with contextlib.suppress(OSError):
                files.read(name)


FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}
COMPRESSIONS = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def tar_of(members: int, form: int, name: str = "{}/{}.png") -> tuple[bytes, list[int]]:
    """A tar of a link, a folder and files of several blocks, with where each member's header stands, and its end."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        tar.addfile(member("link", tarfile.SYMTYPE, "cats/0.png"))
        tar.addfile(member("cats", tarfile.DIRTYPE))
        for i in range(members):
            tar.addfile(member(name.format(("cats", "dogs")[i % 2], i), size=300 * i), io.BytesIO(bytes([1]) * 300 * i))
        end = tar.offset
    data.seek(0)
    with tarfile.open(fileobj=data) as tar:
        return data.getvalue(), [*(info.offset for info in tar), end]


@pytest.mark.parametrize("pack", COMPRESSIONS.values(), ids=[kind or "plain" for kind in COMPRESSIONS])
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_tar_whose_members_stop_before_its_end_is_broken(
    tmp_path: Path, form: int, pack: Callable[[bytes], bytes]
) -> None:
    whole, headers = tar_of(10, form)
    for header in headers[2:]:
        flipped = bytearray(whole)
        flipped[header + 5] ^= 0xFF
        for i, damaged in enumerate((flipped, whole[:header], whole[: header + 100], whole[: header - 1])):
            path = tmp_path / f"{header}-{i}.tar"
            path.write_bytes(pack(bytes(damaged)))
            with pytest.raises(DataError, match=rf"{header}-{i}\.tar: a broken archive"):
                opened(path, tmp_path)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_tar_with_any_end_that_common_tools_write_is_whole(tmp_path: Path, form: int) -> None:
    whole, headers = tar_of(10, form)
    path = tmp_path / "a.tar"
    for end in (bytes(512), bytes(1024), bytes(1024) + b"garbage", bytes(512) + b"x" * 512, bytes(1024) + whole):
        path.write_bytes(whole[: headers[-1]] + end)
        assert len(opened(path, tmp_path).names) == 11


@pytest.mark.parametrize("blocks", [1, 2, 20])
def test_an_empty_tar_has_no_files(tmp_path: Path, blocks: int) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(512 * blocks))
    assert opened(tmp_path / "a.tar", tmp_path).names == []


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_a_tar_of_long_names_is_whole_up_to_its_end_alone(tmp_path: Path, form: int) -> None:
    whole, headers = tar_of(4, form, "{}/" + "n" * 300 + "{}.png")
    (tmp_path / "a.tar").write_bytes(whole)
    assert len(opened(tmp_path / "a.tar", tmp_path).names) == 4  # the link leads to a short name
    for place in range(headers[2], headers[-1] + 512, 512):
        (tmp_path / "a.tar").write_bytes(whole[:place])
        with pytest.raises(DataError, match="a broken archive"):
            opened(tmp_path / "a.tar", tmp_path)
