"""The results directory: what is written there is whole, or is not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from futures_agent.backtest.compare import Run
from futures_agent.backtest.result import SCHEMA_VERSION, BacktestResult, DataRange, StrategyRun
from futures_agent.backtest.verdict import Verdict
from futures_agent.errors import Refuse, Retry
from futures_agent.files import sync_directory

# A full disk empties again; a missing permission stays until a person changes it.
_TRANSIENT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_COMPLETE = re.compile(r"^backtest_(\d{8}T\d{6}Z)\.(json|html)$")
_INCOMPLETE = re.compile(r"^backtest_\d{8}T\d{6}Z\.incomplete_\d{8}T\d{6}Z\.json$")
_TEMPORARY = re.compile(r"^\.(backtest_|latest\.).*\.tmp$")
_MOST_NAMED = 5  # runs shown to who named one that is not there
_MODE = 0o640  # the service's group reads results, others do not


class ResultPaths(NamedTuple):
    """Where a result was written."""

    json: Path
    html: Path


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run that did not reach its end."""

    schema_version: int = SCHEMA_VERSION
    status: str = "INCOMPLETE"
    run_id: str
    started: str  # 2026-11-20T23:30:00Z
    interrupted: str
    reason: str  # SIGTERM, watchdog, …
    stage: str  # what it was doing
    progress: float  # share of that stage, 0…1
    settings_hash: str | None = None


class ResultMetrics(msgspec.Struct, frozen=True):
    """The metrics a status line shows."""

    trades: int
    total_return: float
    max_drawdown: float
    win_rate: float | None = None
    profit_factor: float | None = None
    sharpe: float | None = None


class ResultValidation(msgspec.Struct, frozen=True):
    """Whether live trading decides as the run does."""

    status: str
    reason: str


class ResultSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The few fields of a result that a status screen shows."""

    schema_version: int
    run_id: str
    started: str
    finished: str
    duration_s: float
    verdict: Verdict
    strategy: StrategyRun
    timeframe: str
    data: DataRange | None
    candles: int
    symbols: tuple[str, ...]
    metrics: ResultMetrics
    signal_validation: ResultValidation
    warnings: tuple[str, ...]


def write_result(results_dir: Path, result: BacktestResult, html: str, *, latest: bool = True) -> ResultPaths:
    """Write a result and its report, and make them the latest.

    Both files are complete and on disk before either gets its name. `latest.json` and
    `latest.html` are further names (hard links) of the run's files: regular files for whoever
    copies them, at no cost of space.

    Parameters
    ----------
    results_dir : Path
        Made if absent.
    result : BacktestResult
    html : str
        The report on it.
    latest : bool
        False leaves the latest ones as they are: for runs made to try something.

    Raises
    ------
    Retry
        The disk is full or failing; nothing half-written stays, the previous latest is untouched.
    Refuse
        The directory cannot be written.
    """
    stem = f"backtest_{result.run_id}"
    paths = ResultPaths(results_dir / f"{stem}.json", results_dir / f"{stem}.html")
    with _faults(results_dir, "write the result"):
        results_dir.mkdir(parents=True, exist_ok=True)
        contents = {paths.html: html.encode(), paths.json: msgspec.json.encode(result)}
        _write_all(contents)
        for path in contents if latest else ():
            _link_latest(path)
        sync_directory(results_dir)
    return paths


def write_incomplete(results_dir: Path, partial: Incomplete) -> Path:
    """Write what is known of an interrupted run as `backtest_<id>.incomplete_<timestamp>.json`.

    Raises
    ------
    Retry, Refuse
        As `write_result`.
    """
    moment = datetime.fromisoformat(partial.interrupted).astimezone(UTC)
    path = results_dir / f"backtest_{partial.run_id}.incomplete_{moment:%Y%m%dT%H%M%SZ}.json"
    with _faults(results_dir, "write the incomplete result"):
        results_dir.mkdir(parents=True, exist_ok=True)
        _write_all({path: msgspec.json.encode(partial)})
        sync_directory(results_dir)
    return path


def prune_results(results_dir: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` runs and the newest `keep` incomplete ones.

    What an earlier, killed run left half-written is removed too, so call it while no other
    backtest writes here. The latest run always stays.

    Returns
    -------
    list of Path
        What was removed.

    Raises
    ------
    Refuse
        The directory cannot be read or written.
    """
    if keep < 1:
        raise Refuse(f"backtest.keep_results: expected at least 1, found {keep}")
    with _faults(results_dir, "remove old results"):
        names = sorted(path.name for path in results_dir.iterdir())
        runs = sorted({match[1] for name in names if (match := _COMPLETE.match(name))})
        outdated = set(runs[:-keep])
        unfinished = [name for name in names if _INCOMPLETE.match(name)]
        doomed = [name for name in names if (match := _COMPLETE.match(name)) and match[1] in outdated]
        doomed += unfinished[:-keep]
        doomed += [name for name in names if _TEMPORARY.match(name)]
        for name in doomed:
            (results_dir / name).unlink(missing_ok=True)
    return [results_dir / name for name in doomed]


def read_latest(results_dir: Path) -> ResultSummary | None:
    """Return what a status screen shows of the newest run; None when there is none.

    Raises
    ------
    Refuse
        The file is damaged, unreadable or of a newer schema.
    """
    path = results_dir / "latest.json"
    try:
        summary = msgspec.json.decode(path.read_bytes(), type=ResultSummary)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refuse(f"{path}: cannot read the last result: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refuse(f"{path}: not a backtest result ({error}); the next run replaces it") from None
    if summary.schema_version > SCHEMA_VERSION:
        raise Refuse(
            f"{path}: schema version {summary.schema_version}, this version reads up to {SCHEMA_VERSION}"
        )
    return summary


def find_result(results_dir: Path, name: str) -> Path:
    """Return the JSON of the run that a person named.

    Parameters
    ----------
    name : str
        A path; a run id, `20261120T233000Z`; `latest`; or `previous`, the complete run before the latest.

    Raises
    ------
    Refuse
        There is no such result.
    """
    if name == "previous":
        latest = read_latest(results_dir)
        earlier = [] if latest is None else [run for run in _runs(results_dir) if run < latest.run_id]
        if not earlier:
            raise Refuse(f"{results_dir}: no run before the latest; `agentctl backtest` makes one")
        name = earlier[-1]
    among_results = results_dir / ("latest.json" if name == "latest" else f"backtest_{name}.json")
    typed = Path(name)
    for path in (among_results, typed.with_suffix(".json") if typed.name else typed):  # a report: its result
        if os.path.isfile(path):  # Path.is_file() raises where the name is too long or a folder is closed
            return path
    known = ", ".join(_runs(results_dir)[-_MOST_NAMED:]) or "none"
    raise Refuse(f"no result {name!r}; newest in {results_dir}: {known}; or name a file, latest or previous")


def _runs(results_dir: Path) -> list[str]:
    """Return the ids of all complete runs, oldest first."""
    names = results_dir.iterdir() if results_dir.is_dir() else ()
    return sorted({match[1] for path in names if (match := _COMPLETE.match(path.name))})


def read_run(path: Path) -> Run:
    """Return what is compared of the result in `path`.

    Raises
    ------
    Refuse
        The file is damaged, unreadable, or of another schema than this version writes.
    """
    try:
        content = path.read_bytes()
        schema = msgspec.json.decode(content, type=_Schema).schema_version
        if schema != SCHEMA_VERSION:
            raise Refuse(
                f"{path}: schema version {schema}, this version compares {SCHEMA_VERSION}; run it again"
            )
        return msgspec.json.decode(content, type=Run)
    except OSError as error:
        raise Refuse(f"{path}: cannot read the result: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refuse(f"{path}: not a complete backtest result ({error})") from None


class _Schema(msgspec.Struct):
    schema_version: int


def _write_all(contents: dict[Path, bytes]) -> None:
    """Give every path its content: all are on disk before the first one is renamed."""
    temporary = {path: path.with_name(f".{path.name}.tmp") for path in contents}
    try:
        for path, content in contents.items():
            _write_synced(temporary[path], content)
        for path in contents:
            os.replace(temporary[path], path)
    except BaseException:
        for path in temporary.values():
            path.unlink(missing_ok=True)
        raise


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link_latest(path: Path) -> None:
    latest = path.with_name(f"latest{path.suffix}")
    temporary = path.with_name(f".{latest.name}.tmp")
    temporary.unlink(missing_ok=True)
    os.link(path, temporary)
    try:
        os.replace(temporary, latest)
    finally:
        # Renaming onto another name of the same file succeeds, does nothing and leaves both.
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _faults(results_dir: Path, what: str) -> Iterator[None]:
    """Turn an operating system's error into the line a person reads."""
    try:
        yield
    except OSError as error:
        if error.errno in _TRANSIENT:
            raise Retry(f"{results_dir}: cannot {what}: {error.strerror}; free space there") from None
        raise Refuse(
            f"{results_dir}: cannot {what}: {error.strerror}; make it a directory this user can write"
        ) from None
