"""Every job begins and ends alike: records, locks, holds, signals, outcome line, exit code."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from futures_agent.errors import ExitCode, Refuse, Retry
from futures_agent.program.holds import set_hold
from futures_agent.program.job import Outcome, run_job
from futures_agent.program.locks import single_instance
from futures_agent.program.records import RunLog, RunRecord
from futures_agent.settings import DatabaseSettings, PathSettings, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        paths=PathSettings(state_dir=str(tmp_path)), database=DatabaseSettings(writer_lock_wait_s=0.3)
    )


def runs(settings: Settings, name: str = "data-sync"):
    return RunLog(settings.paths.job(name)).recent()


def test_a_good_run_leaves_a_record_and_one_line(settings, capsys):
    code = run_job("data-sync", settings, lambda job: Outcome(line="3 candles", counts={"candles": 3}))
    assert code is ExitCode.OK
    assert capsys.readouterr().out == "data-sync ok: 3 candles\n"
    (record,) = runs(settings)
    assert (record.outcome, record.line, record.counts) == ("ok", "3 candles", {"candles": 3})
    assert record.ended_ms >= record.started_ms


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Retry("the exchange is away"), ExitCode.FAILED, "data-sync failed: the exchange is away"),
        (Refuse("no such symbol"), ExitCode.CONFIG, "data-sync refused: no such symbol"),
        (ZeroDivisionError("x"), ExitCode.FAILED, "data-sync failed: unexpected ZeroDivisionError: x"),
    ],
)
def test_a_failing_run_says_why_in_one_line_and_is_recorded(settings, capsys, error, code, said):
    def body(job):
        raise error

    assert run_job("data-sync", settings, body) is code
    last_line = capsys.readouterr().err.strip().splitlines()[-1]
    assert last_line.startswith(said)
    assert runs(settings)[0].exit_code == code


def test_a_held_unit_does_not_run_and_says_why(settings, capsys):
    set_hold(settings.paths.holds, "backtest", "the venue changes its fees")
    assert run_job("backtest", settings, lambda job: pytest.fail("ran")) is ExitCode.HELD
    assert "the venue changes its fees; `agentctl release backtest` ends it" in capsys.readouterr().err
    assert runs(settings, "backtest") == []


def test_nothing_runs_while_recovery_holds_the_database(settings, capsys):
    settings.paths.locked_flag.parent.mkdir()
    settings.paths.locked_flag.touch()
    assert run_job("data-sync", settings, lambda job: pytest.fail("ran")) is ExitCode.BLOCKED
    assert "LOCKED exists" in capsys.readouterr().err


def test_a_second_instance_is_refused(settings, capsys):
    with single_instance(settings.paths.job("data-sync") / "lock", "data-sync"):
        assert run_job("data-sync", settings, lambda job: pytest.fail("ran")) is ExitCode.BLOCKED
    assert f"already running (data-sync, pid {os.getpid()})" in capsys.readouterr().err


def test_waiting_for_the_database_ends_at_its_bound(settings, capsys):
    def body(job):
        with job.database_turn(), job.database_turn():
            pytest.fail("two turns at once")

    assert run_job("data-sync", settings, body) is ExitCode.FAILED
    assert "still held by data-sync, pid" in capsys.readouterr().err


def test_an_unwritable_state_directory_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    settings = Settings(paths=PathSettings(state_dir=str(tmp_path / "file" / "state")))
    assert run_job("data-sync", settings, lambda job: pytest.fail("ran")) is ExitCode.CONFIG
    assert "set paths.state_dir" in capsys.readouterr().err


_SLEEPER = textwrap.dedent(
    """
    import sys
    from futures_agent.program.job import Outcome, run_job
    from futures_agent.settings import PathSettings, Settings

    def body(job):
        print("started", flush=True)
        job.wait(30)
        return Outcome(line="slept")

    sys.exit(run_job("data-sync", Settings(paths=PathSettings(state_dir=sys.argv[1])), body))
    """
)


def _started(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLEEPER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "started\n"
    return process


def test_sigterm_ends_a_run_cleanly_with_its_own_exit_code(settings, tmp_path):
    process = _started(tmp_path)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "told to stop" in said
    assert runs(settings)[0].outcome == "interrupted"


def test_a_killed_run_shows_as_died_and_leaves_no_lock(settings, tmp_path):
    process = _started(tmp_path)
    assert runs(settings)[0].outcome == "running"
    process.kill()
    process.communicate(timeout=10)
    assert runs(settings)[0].outcome == "died"
    assert run_job("data-sync", settings, lambda job: Outcome(line="again")) is ExitCode.OK


def test_a_torn_record_is_passed_over(settings):
    log = RunLog(settings.paths.job("data-sync"))
    log.append(RunRecord(run="1", job="data-sync", started_ms=1, pid=1, exit_code=0))
    with (settings.paths.job("data-sync") / "runs.jsonl").open("ab") as file:
        file.write(b'{"run":"2","job":"da')
    assert [record.run for record in log.recent()] == ["1"]
    log.append(RunRecord(run="3", job="data-sync", started_ms=3, pid=1, exit_code=0))
    assert [record.run for record in log.recent()] == ["1", "3"]


def test_the_record_file_is_bounded(settings, monkeypatch):
    monkeypatch.setattr("futures_agent.program.records._ROTATE_BYTES", 500)
    log = RunLog(settings.paths.job("data-sync"))
    for number in range(20):
        log.append(RunRecord(run=str(number), job="data-sync", started_ms=number, pid=1, exit_code=0))
    sizes = [path.stat().st_size for path in settings.paths.job("data-sync").iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 800
    assert log.recent()[-1].run == "19"


def test_a_reused_pid_is_not_a_running_job():
    long_ago = RunRecord(run="1", job="data-sync", started_ms=0, pid=os.getpid())
    assert long_ago.outcome == "died"
    assert (
        RunRecord(run="2", job="x", started_ms=time.time_ns() // 1_000_000, pid=os.getpid()).outcome
        == "running"
    )


def test_a_signal_in_the_middle_of_a_wait_never_deadlocks():
    program = """
import signal, time
from futures_agent.program.job import StopEvent
event, signals = StopEvent(), []
def stop(number, frame):
    signals.append(number)
    event.set()
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
end = time.monotonic() + 2
while time.monotonic() < end:
    event.clear()
    event.wait(0.001)
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(signals))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could leave files behind that others cannot open")
def test_root_leaves_no_files_in_another_users_database(settings, capsys):
    settings.paths.database.parent.mkdir(parents=True)
    os.chown(settings.paths.database.parent, 65534, -1)

    def body(job):
        with job.database_turn():
            pytest.fail("ran")

    assert run_job("data-sync", settings, body) is ExitCode.CONFIG
    assert "run this as that user, `sudo -u nobody agentctl" in capsys.readouterr().err
    assert list(settings.paths.database.parent.iterdir()) == []
