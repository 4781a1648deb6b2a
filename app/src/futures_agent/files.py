"""Small files that must be whole or absent, and logs that only grow."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from futures_agent.errors import Refuse, Retry


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace `path` by `content`: a reader sees the old file or the new one, never a part.

    A `durable` one is on the disk on return; another may be lost, whole, in a power cut.

    Raises
    ------
    Retry
        The disk is full or failing; the old file is untouched.
    Refuse
        No permission to write there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise explain_os_error(error, path) from None


def append_line(path: Path, line: bytes, *, durable: bool = True) -> None:
    """Append one line and, where it is to be `durable`, wait until it is on the disk.

    Raises
    ------
    Retry
        The disk is full or failing.
    Refuse
        No permission to write there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _append_whole(descriptor, line + b"\n", durable=durable)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise explain_os_error(error, path) from None


def _append_whole(descriptor: int, line: bytes, *, durable: bool) -> None:
    """Append `line`, or leave the file as it was; a line torn earlier does not swallow this one."""
    length = os.fstat(descriptor).st_size
    if length and os.pread(descriptor, 1, length - 1) != b"\n":
        line = b"\n" + line
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if durable:
            os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, length)
        raise


def make_directory(path: Path) -> None:
    """Make sure that the directory `path` exists.

    Raises
    ------
    Retry
        The disk is full or failing.
    Refuse
        No permission to make it, or something is in the way.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from None


def sync_directory(directory: Path) -> None:
    """Make a rename inside `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain_os_error(error: OSError, path: Path) -> Refuse | Retry:
    """Return the fault that a person can act on for a failed write to `path`."""
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return Refuse(f"{path}: no permission to write; run as the user that owns it, or set paths.state_dir")
    if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
        return Refuse(f"{path}: {error.strerror}; remove what is in the way, or set paths.state_dir")
    return Retry(f"{path}: cannot write: {error.strerror}; free the disk or mend it, then run again")
