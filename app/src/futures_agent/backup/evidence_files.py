"""Files that outlive the database, archived beside its backup: run records, incidents, the trade journal.

They only grow or are replaced whole, so reading them while others append gives a consistent beginning.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import zstandard

from futures_agent.backup.durable import create_file, sync_file
from futures_agent.errors import Corrupt
from futures_agent.files import explain_os_error

_LEVEL = 3
_PASSING = "scratch"  # directories of that name hold what a job is working on, such as a restored database


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What went into an archive of files."""

    files: int
    unreadable: tuple[str, ...]


def archive_files(state: Path, names: Sequence[str], archive: Path) -> Archived:
    """Archive the files below `state/NAME` for each name into the new file `archive`, and verify it.

    Files that may not be read are left out and named in the result; names that do not exist are none.

    Raises
    ------
    Retry
        The disk is full or failing.
    Corrupt
        The archive does not read back.
    """
    files, unreadable = 0, []
    try:
        with (
            create_file(archive) as target,
            zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(target) as stream,
            tarfile.open(fileobj=stream, mode="w|") as tar,
        ):
            for path in _regular_files(state, names):
                try:
                    content = path.open("rb")
                except OSError:
                    unreadable.append(str(path.relative_to(state)))
                    continue
                with content:
                    tar.addfile(_described(path, content, state), content)
                files += 1
        sync_file(archive)
    except OSError as error:
        raise explain_os_error(error, archive) from None
    if (found := count_files(archive)) != files:
        raise Corrupt(f"{archive}: {files} files were put in, {found} read back; check the disk")
    return Archived(files=files, unreadable=tuple(unreadable))


def count_files(archive: Path) -> int:
    """Read an archive through and return how many files are in it.

    Raises
    ------
    Corrupt
        It is damaged.
    """
    try:
        with (
            archive.open("rb") as source,
            zstandard.ZstdDecompressor().stream_reader(source) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            return sum(1 for _ in tar)
    except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
        raise Corrupt(f"{archive}: damaged ({error})") from None


def _regular_files(state: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        for directory, below, files in os.walk(state / name):
            below[:] = sorted(name for name in below if name != _PASSING)
            yield from (path for file in sorted(files) if _is_regular(path := Path(directory, file)))


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _described(path: Path, content: io.BufferedReader, state: Path) -> tarfile.TarInfo:
    """Describe the open file as it is now: it may be appended to, or replaced, while it is read."""
    status = os.fstat(content.fileno())
    described = tarfile.TarInfo(str(path.relative_to(state)))
    described.size, described.mtime, described.mode = status.st_size, int(status.st_mtime), 0o640
    return described
