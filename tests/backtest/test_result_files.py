"""The results directory under faults: whole files or none."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from futures_agent.backtest.result import SCHEMA_VERSION, BacktestResult, build_result
from futures_agent.backtest.result_files import (
    Incomplete,
    prune_results,
    read_latest,
    write_incomplete,
    write_result,
)
from futures_agent.clock import parse_utc
from futures_agent.errors import Refuse, Retry
from futures_agent.settings.load import load
from sample_runs import random_run, run_of

STARTED = parse_utc("2026-11-20T23:30")
MINUTE = 60_000
EFFECTIVE = load(environ={})


def result_at(started_ms: int, simulation=None) -> BacktestResult:
    simulation = run_of([101, 102]) if simulation is None else simulation
    return build_result(simulation, EFFECTIVE, started_ms=started_ms, finished_ms=started_ms + 900)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_result_report_and_latest_are_written(tmp_path: Path):
    paths = write_result(tmp_path / "results", result_at(STARTED), "<p>grün</p>")

    assert names(tmp_path / "results") == [
        "backtest_20261120T233000Z.html",
        "backtest_20261120T233000Z.json",
        "latest.html",
        "latest.json",
    ]
    assert paths.html.read_text(encoding="utf-8") == "<p>grün</p>"
    assert paths.json.read_bytes() == msgspec.json.encode(result_at(STARTED))
    assert (tmp_path / "results/latest.json").samefile(paths.json)
    assert not (tmp_path / "results/latest.json").is_symlink()
    assert paths.json.stat().st_mode & 0o007 == 0


def test_second_run_becomes_the_latest_and_the_first_stays(tmp_path: Path):
    first = write_result(tmp_path, result_at(STARTED), "first")
    write_result(tmp_path, result_at(STARTED + MINUTE), "second")

    assert (tmp_path / "latest.html").read_text() == "second"
    assert first.html.read_text() == "first"
    summary = read_latest(tmp_path)
    assert summary is not None
    assert summary.run_id == "20261120T233100Z"


def test_same_run_can_be_written_again(tmp_path: Path):
    write_result(tmp_path, result_at(STARTED), "one")
    write_result(tmp_path, result_at(STARTED), "two")

    assert (tmp_path / "latest.html").read_text() == "two"
    assert len(names(tmp_path)) == 4


def assert_whole(directory: Path) -> None:
    for path in directory.iterdir():
        assert not path.name.endswith(".tmp"), "a temporary file stayed"
        if path.suffix == ".json":
            msgspec.json.decode(path.read_bytes(), type=BacktestResult)


def test_disk_full_at_any_step_leaves_whole_files_and_a_latest(tmp_path: Path, monkeypatch):
    write_result(tmp_path, result_at(STARTED), "first")
    step = 0
    while True:
        calls = iter(range(1_000))
        for name in ("open", "fsync", "replace", "link"):
            monkeypatch.setattr(os, name, _failing(getattr(os, name), calls, step))
        started = STARTED + (step + 1) * MINUTE
        failure = None
        try:
            write_result(tmp_path, result_at(started), "next")
        except Retry as error:
            failure = str(error)
        monkeypatch.undo()
        assert_whole(tmp_path)
        latest = read_latest(tmp_path)
        assert latest is not None
        if failure is None:
            break
        assert failure == f"{tmp_path}: cannot write the result: No space left on device; free space there"
        step += 1
    assert step == 12  # two files opened, synced, renamed; two links, renamed; the directory


def _failing(original, calls, step):
    def call(*arguments, **keywords):
        if next(calls) == step:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **keywords)

    return call


def test_file_size_limit_in_the_middle_of_a_write_leaves_nothing(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    result = result_at(STARTED, random_run(1, trades=500))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(Retry, match="File too large"):
            write_result(tmp_path, result, "report")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_killed_at_any_step_leaves_whole_files_and_a_latest(tmp_path: Path):
    directories = [tmp_path / str(step) for step in range(20)]
    tests = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, str(tests / "backtest" / "killed_writer.py"), *map(str, directories)],
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        check=True,
    )

    outcomes = [int(line) for line in run.stdout.split()]
    steps = outcomes.index(0)  # the first one that had fewer calls than that
    assert outcomes == [9] * steps + [0] * (20 - steps)
    assert steps >= 12
    for directory, outcome in zip(directories, outcomes, strict=True):
        summary = read_latest(directory)
        assert summary is not None
        assert summary.run_id == "20261120T233100Z" or outcome == 9
        prune_results(directory, keep=9)
        assert_whole(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_full_tmpfs_keeps_the_earlier_result(tmp_path: Path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        write_result(tmp_path, result_at(STARTED), "small")
        with pytest.raises(Retry, match="No space left on device"):
            write_result(tmp_path, result_at(STARTED + MINUTE, random_run(1, trades=2_000)), "x" * 100_000)
        assert_whole(tmp_path)
        assert len(names(tmp_path)) == 4
        assert (tmp_path / "latest.html").read_text() == "small"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_place_that_is_no_directory_is_one_line(tmp_path: Path):
    place = tmp_path / "results"
    place.write_text("")

    with pytest.raises(Refuse, match="cannot write the result: File exists; make it a directory"):
        write_result(place, result_at(STARTED), "")


def incomplete(interrupted: str) -> Incomplete:
    return Incomplete(
        run_id="20261120T233000Z",
        started="2026-11-20T23:30:00Z",
        interrupted=interrupted,
        reason="SIGTERM",
        stage="simulating",
        progress=0.4,
    )


def test_interrupted_run_is_set_aside_under_its_own_name(tmp_path: Path):
    path = write_incomplete(tmp_path, incomplete("2026-11-20T23:31:07Z"))

    assert path.name == "backtest_20261120T233000Z.incomplete_20261120T233107Z.json"
    assert msgspec.json.decode(path.read_bytes())["status"] == "INCOMPLETE"
    assert read_latest(tmp_path) is None


def test_pruning_keeps_the_newest_runs_and_strangers(tmp_path: Path):
    for minute in range(4):
        write_result(tmp_path, result_at(STARTED + minute * MINUTE), "r")
        write_incomplete(tmp_path, incomplete(f"2026-11-20T23:31:0{minute}Z"))
    (tmp_path / ".backtest_20261120T200000Z.json.tmp").write_text("{")
    (tmp_path / "notes.txt").write_text("mine")

    removed = prune_results(tmp_path, keep=2)

    assert len(removed) == 2 * 2 + 2 + 1
    assert names(tmp_path) == [
        "backtest_20261120T233000Z.incomplete_20261120T233102Z.json",
        "backtest_20261120T233000Z.incomplete_20261120T233103Z.json",
        "backtest_20261120T233200Z.html",
        "backtest_20261120T233200Z.json",
        "backtest_20261120T233300Z.html",
        "backtest_20261120T233300Z.json",
        "latest.html",
        "latest.json",
        "notes.txt",
    ]
    assert prune_results(tmp_path, keep=2) == []


def test_pruning_everything_is_refused(tmp_path: Path):
    with pytest.raises(Refuse, match=r"backtest\.keep_results"):
        prune_results(tmp_path, keep=0)


def test_summary_shows_the_run(tmp_path: Path):
    result = result_at(STARTED, random_run(2, trades=60))
    write_result(tmp_path, result, "")
    summary = read_latest(tmp_path)

    assert summary is not None
    assert (summary.candles, summary.symbols, summary.verdict) == (
        result.candles,
        result.symbols,
        result.verdict,
    )
    assert summary.metrics.win_rate == result.metrics.win_rate


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1}', b"\xff\xfe", b'{"run_id": '])
def test_damaged_latest_is_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "latest.json").write_bytes(content)

    with pytest.raises(Refuse, match=r"latest\.json: not a backtest result"):
        read_latest(tmp_path)


def test_unreadable_latest_is_one_line(tmp_path: Path):
    (tmp_path / "latest.json").mkdir()

    with pytest.raises(Refuse, match=r"latest\.json: cannot read the last result: Is a directory"):
        read_latest(tmp_path)


def test_result_of_a_newer_schema_is_refused(tmp_path: Path):
    newer = msgspec.structs.replace(result_at(STARTED), schema_version=SCHEMA_VERSION + 1)
    write_result(tmp_path, newer, "")

    with pytest.raises(
        Refuse, match=f"schema version {SCHEMA_VERSION + 1}, this version reads up to {SCHEMA_VERSION}"
    ):
        read_latest(tmp_path)
