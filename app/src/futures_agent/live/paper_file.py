"""Lines on the disk: numbered, checksummed, each whole or absent. The paper account lives in such a file.

A line is `NUMBER CHECKSUM CONTENT`. What a crash tore off at the end had not been told to anybody and is
dropped. Whatever else does not read is damage: nothing is skipped, nothing begins anew by itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import zlib
from pathlib import Path

from futures_agent.errors import Refuse
from futures_agent.files import explain_os_error, write_atomically

_TO_DO = (
    "put back a copy from a backup, or move the file away: paper trading then begins anew with "
    "live.paper_equity"
)


class LineFile:
    """The lines of one file, to which this object alone appends.

    Parameters
    ----------
    path : Path
    first : bytes
        Content of the first line of a file that is not there yet.

    Attributes
    ----------
    contents : list of bytes
        What the file held when it was opened; whoever has read it may let go of it.

    Raises
    ------
    Refuse
        The file is damaged, another program has it open, or it may not be written.
    Retry
        The disk is full or failing.
    """

    def __init__(self, path: Path, first: bytes) -> None:
        self.path = path
        if not path.exists():
            write_atomically(path, _line(0, first))
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise explain_os_error(error, path) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.contents, self._end = read_lines(path, path.read_bytes())
            self._count = len(self.contents)
            self._cut()
        except BlockingIOError:
            os.close(self._descriptor)
            raise Refuse(f"{path}: another program trades on this account; stop that one first") from None
        except OSError as error:
            os.close(self._descriptor)
            raise explain_os_error(error, path) from None
        except Refuse:
            os.close(self._descriptor)
            raise

    def append(self, content: bytes) -> None:
        """Append one line; on return it is on the disk, after a fault the file is as it was.

        Raises
        ------
        Refuse
            The file may not be written.
        Retry
            The disk is full or failing.
        """
        line = _line(self._count, content)
        try:
            if os.fstat(self._descriptor).st_size != self._end:  # an earlier fault could not be undone
                self._cut()
            if os.pwrite(self._descriptor, line, self._end) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._cut()
            raise explain_os_error(error, self.path) from None
        self._end += len(line)
        self._count += 1

    def close(self) -> None:
        """Let another program have the file."""
        os.close(self._descriptor)

    def _cut(self) -> None:
        """Take off what follows the last whole line."""
        os.ftruncate(self._descriptor, self._end)
        os.fsync(self._descriptor)


def read_lines(path: Path, data: bytes) -> tuple[list[bytes], int]:
    """Return the contents of the lines in `data`, and where the last whole one ends.

    Raises
    ------
    Refuse
        Damage: the line, and what to do.
    """
    contents: list[bytes] = []
    end = 0
    while end < len(data):
        stop = data.find(b"\n", end)
        content = _content(data[end:stop], len(contents)) if stop >= 0 else None
        if content is None:
            if contents and _is_torn(data[end:]):
                break
            raise Refuse(f"{path}: line {len(contents) + 1} is damaged; {_TO_DO}")
        contents.append(content)
        end = stop + 1
    if not contents:
        raise Refuse(f"{path}: the file is empty; {_TO_DO}")
    return contents, end


def _is_torn(rest: bytes) -> bool:
    """Say whether `rest` can be what a crash left of one line that was being appended.

    The end is missing; or the file had grown already, and blocks that never came hold zeros.
    """
    return b"\n" not in rest[:-1] and (not rest.endswith(b"\n") or b"\0" in rest)


def _line(number: int, content: bytes) -> bytes:
    return b"%d %08x %b\n" % (number, _checksum(number, content), content)


def _content(line: bytes, number: int) -> bytes | None:
    """Return the content of a line that is whole and has this number."""
    head = line.split(b" ", 2)
    if len(head) < 3 or line != _line(number, head[2])[:-1]:
        return None
    return head[2]


def _checksum(number: int, content: bytes) -> int:
    return zlib.crc32(b"%d %b" % (number, content))
