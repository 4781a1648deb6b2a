"""The journal: what the live trader does and learns, on the disk before anything follows from it.

One writer appends; a record whose append returned survives a power cut. The disk may fail or fill up: an
append then leaves no trace and raises, and the next may succeed. What was damaged stays where it is, as
evidence: the journal goes on in a new file, and says so at every opening until a checkpoint replaces what
is missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from futures_agent.errors import Refuse, Retry
from futures_agent.files import explain_os_error, make_directory, sync_directory
from futures_agent.live.journal_files import (
    Replay,
    Segment,
    checksum_of,
    encode_line,
    scan_journal,
    segment_path,
)
from futures_agent.live.records import Checkpoint, Record
from futures_agent.program.locks import single_instance

SEGMENT_BYTES = 8 * 1024 * 1024


class Journal:
    """Append-only records of one mode of trading, in segments; not for concurrent threads.

    Parameters
    ----------
    directory : Path
        `state_dir/journal`; each mode has a directory of its own below it.
    mode : str
        paper, testnet or live.
    segment_bytes : int, optional
        A segment is closed before it grows beyond this.

    Attributes
    ----------
    replay : Replay
        What it held when it was opened; `release` forgets it.

    Raises
    ------
    Blocked
        Another trader writes here.
    Refuse
        No permission.
    Retry
        The disk is full or failing.
    """

    def __init__(self, directory: Path, mode: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory / mode
        self._segment_bytes = segment_bytes
        self._descriptor: int | None = None
        with ExitStack() as stack:
            make_directory(self.directory)
            stack.enter_context(single_instance(self.directory / "writer", f"live trading ({mode})"))
            self.replay, end = scan_journal(self.directory)
            self._segment, self._size = end.segment, end.size
            self._number, self._checksum = end.number, end.checksum
            if end.clean:
                self._go_on()
            elif end.segment and not end.size:
                self._remove_unborn()
            self._held = stack.pop_all()

    def append(self, *records: Record) -> None:
        """Append `records`; they are on the disk when this returns, and none of them is when it raises.

        Raises
        ------
        Retry
            The disk is full or failing.
        """
        lines, number, checksum = self._encode(self._number, self._checksum, records)
        if self._descriptor is None or self._size + len(lines) > self._segment_bytes:
            header = self._header(checkpoint=False)
            lines, number, checksum = self._encode(self._number, self._checksum, (header, *records))
            self._begin_segment(lines)
        else:
            self._write(self._descriptor, lines)
            self._size += len(lines)
        self._number, self._checksum = number, checksum

    def start_over(self, checkpoint: Checkpoint) -> None:
        """Begin a segment with `checkpoint`: reading begins there from now on. Nothing is deleted.

        Raises
        ------
        Retry
            The disk is full or failing; the journal goes on as before.
        """
        header = self._header(checkpoint=True)
        lines, number, checksum = self._encode(self._number, self._checksum, (header, checkpoint))
        self._begin_segment(lines)
        self._number, self._checksum = number, checksum

    def release(self) -> None:
        """Forget what was replayed."""
        self.replay = Replay(records=(), faults=self.replay.faults, torn=self.replay.torn)

    def close(self) -> None:
        """Let another writer in."""
        self._drop()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _header(self, *, checkpoint: bool) -> Segment:
        return Segment(segment=self._segment + 1, previous=self._checksum, checkpoint=checkpoint)

    @staticmethod
    def _encode(number: int, checksum: str, contents: tuple[Segment | Record, ...]) -> tuple[bytes, int, str]:
        """Return the lines of `contents`, and number and checksum of the last of them."""
        lines = []
        for content in contents:
            number += 1
            lines.append(encode_line(number, content))
            checksum = checksum_of(lines[-1][:-1].partition(b" ")[2])
        return b"".join(lines), number, checksum

    def _go_on(self) -> None:
        """Open the newest segment, without what an append left behind that was cut off."""
        path = segment_path(self.directory, self._segment)
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            if os.fstat(self._descriptor).st_size > self._size:
                os.ftruncate(self._descriptor, self._size)
                os.fsync(self._descriptor)
        except OSError as error:
            self._drop()
            raise explain_os_error(error, path) from None

    def _remove_unborn(self) -> None:
        """Remove a segment whose first line never came to be whole."""
        path = segment_path(self.directory, self._segment)
        try:
            path.unlink()
            sync_directory(self.directory)
        except OSError as error:
            raise explain_os_error(error, path) from None
        self._segment -= 1

    def _begin_segment(self, lines: bytes) -> None:
        """Make the next segment of `lines`, the first its header; on failure nothing of it stays."""
        path = segment_path(self.directory, self._segment + 1)
        descriptor = None
        try:
            descriptor = os.open(
                path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640
            )
            _write_whole(descriptor, lines)
            os.fdatasync(descriptor)
            sync_directory(self.directory)
        except OSError as error:
            if descriptor is not None:
                os.close(descriptor)
                self._undo_segment(path)
            raise _transient(error, path) from None
        self._drop()
        self._descriptor, self._segment, self._size = descriptor, self._segment + 1, len(lines)

    def _undo_segment(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            os.truncate(path, 0)  # should it not go away, it says nothing
            path.unlink()
            return
        self._segment += 1  # its name is taken

    def _write(self, descriptor: int, lines: bytes) -> None:
        """Append `lines` to the open segment, or leave it as it was and go on in a new one.

        After a failed sync nobody knows what of the file is on the disk, and asking again would not
        tell; a new file takes over from the last record that was acknowledged.
        """
        try:
            _write_whole(descriptor, lines)
        except OSError as error:
            try:
                os.ftruncate(descriptor, self._size)
            except OSError:
                self._drop()
            raise self._failed(error) from None
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self._size)
            self._drop()
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Refuse | Retry:
        return _transient(error, segment_path(self.directory, self._segment))

    def _drop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_whole(descriptor: int, lines: bytes) -> None:
    if os.write(descriptor, lines) < len(lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _transient(error: OSError, path: Path) -> Retry:
    """Return the fault of a failed append: whatever it was, trading what is open must go on."""
    return Retry(f"{path}: cannot write: {error.strerror}; free the disk or mend it")
