"""What systemd hears from a program, and what a terminal shows."""

import io
import logging
import socket

import pytest

from futures_agent.errors import Refuse
from futures_agent.program import progress
from futures_agent.program.job import Outcome, run_job
from futures_agent.program.progress import Reporter
from futures_agent.settings import PathSettings, Settings


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """Messages sent to systemd so far."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)

        def messages():
            lines = []
            while True:
                try:
                    lines += listener.recv(4096).decode().splitlines()
                except BlockingIOError:
                    return lines

        yield messages


def test_a_job_says_ready_first_and_leaves_its_outcome_as_status(heard, tmp_path):
    settings = Settings(paths=PathSettings(state_dir=str(tmp_path / "state")))
    run_job("data-sync", settings, lambda job: Outcome(line="3 candles"))
    lines = heard()
    assert lines[0] == "READY=1"
    assert lines[-2:] == ["STATUS=ok: 3 candles", "WATCHDOG=1"]


def test_a_failing_job_is_ready_too_so_that_its_exit_code_is_the_result(heard, tmp_path):
    settings = Settings(paths=PathSettings(state_dir=str(tmp_path / "state")))

    def body(job):
        raise Refuse("no such symbol")

    run_job("data-sync", settings, body)
    lines = heard()
    assert lines[0] == "READY=1"
    assert "STATUS=refused: no such symbol" in lines


def test_progress_feeds_the_watchdog_at_most_once_a_second(heard):
    with Reporter("data-sync") as reporter:
        for done in range(100):
            reporter.advance(done, 100, "BTCUSDT")
    assert heard() == ["STATUS=BTCUSDT (0/100)", "WATCHDOG=1"]


def test_without_a_terminal_long_work_leaves_a_log_line_now_and_then(monkeypatch, caplog):
    times = iter([0.0, 1.0, 11.0, 12.0, 22.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with caplog.at_level(logging.INFO), Reporter("data-sync") as reporter:
        for done in range(4):
            reporter.advance(done, 4, "BTCUSDT")
    assert [record.message for record in caplog.records] == [
        "data-sync: BTCUSDT (1/4)",
        "data-sync: BTCUSDT (3/4)",
    ]


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Reporter("data-sync") as reporter:
        reporter.advance(1, 2, "BTCUSDT H1")
        reporter.status("writing")
        reporter.advance(2, 2, "ETHUSDT H1")
    assert "data-sync" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
