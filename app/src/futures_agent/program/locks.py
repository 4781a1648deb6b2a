"""Locks between processes, held by the kernel: a killed process never leaves one behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from futures_agent.errors import Blocked, Refuse, Retry
from futures_agent.files import explain_os_error

_POLL_S = 0.1


@contextmanager
def single_instance(path: Path, job: str) -> Iterator[None]:
    """Hold `path` while the job runs.

    Raises
    ------
    Blocked
        Another instance runs.
    """
    descriptor = _open(path)
    try:
        if not _try_lock(descriptor):
            raise Blocked(f"{job} is already running ({_holder(descriptor)}); wait for it or stop it")
        _sign(descriptor, job)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def database_turn(
    path: Path, job: str, *, wait_s: float, while_waiting: Callable[[str], None]
) -> Iterator[None]:
    """Take the turn of the jobs that write the database, waiting for the one before.

    Parameters
    ----------
    path : Path
        The lock file, shared by all these jobs.
    wait_s : float
        Upper bound of the wait.
    while_waiting : callable
        Called about ten times a second with the holder's name: waiting with a bound is progress.

    Raises
    ------
    Retry
        The bound was reached.
    Refuse
        Root would leave files behind that the owner of the directory cannot open.
    """
    _require_own(path.parent)
    descriptor = _open(path)
    try:
        deadline = time.monotonic() + wait_s
        while not _try_lock(descriptor):
            holder = _holder(descriptor)
            if time.monotonic() > deadline:
                raise Retry(f"{path}: still held by {holder} after {wait_s:.0f} s; run again later")
            while_waiting(holder)
            time.sleep(_POLL_S)
        _sign(descriptor, job)
        yield
    finally:
        os.close(descriptor)


def _require_own(directory: Path) -> None:
    if os.geteuid() != 0 or not directory.is_dir() or (uid := directory.stat().st_uid) == 0:
        return
    owner = f"#{uid}"  # as sudo takes a number
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(uid).pw_name
    raise Refuse(f"{directory} belongs to {owner}: run this as that user, `sudo -u {owner} agentctl …`")


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise explain_os_error(error, path) from None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int, job: str) -> None:
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, f"{job}, pid {os.getpid()}".encode(), 0)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
