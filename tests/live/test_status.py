"""The status file: written whole, read leniently."""

import os
from pathlib import Path

import psutil

from futures_agent.live.status import FILE, LiveStatus, is_running, read_status, write_status


def status(pid: int, started_ms: int) -> LiveStatus:
    return LiveStatus(
        pid=pid, mode="paper", version="1", started_ms=started_ms, written_ms=2, exchange_now_ms=3,
        phase="trading", strategy="smc", symbols=2, excluded={}, ages_s={"market": 0.2}, stale=[],
        last_close_ms=0, equity=10_000.0, wallet=10_000.0, positions=[], orders=[], paused=None,
        kill_switch=False, daily_loss_hit=False, opens_nothing="", incidents=0, fills=0, rejections={},
        database="ok",
    )  # fmt: skip


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    write_status(tmp_path, status(1, 5))
    assert read_status(tmp_path) == status(1, 5)
    (tmp_path / FILE).write_bytes(b"{")
    assert read_status(tmp_path) is None


def test_running_is_the_process_that_wrote_it() -> None:
    born_ms = int(psutil.Process().create_time() * 1000)
    assert is_running(status(os.getpid(), born_ms))
    assert not is_running(status(os.getpid(), born_ms - 60_000))  # the number was another process's
    assert not is_running(status(2**22 + 1, born_ms))
