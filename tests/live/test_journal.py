"""The journal: what was acknowledged is there, what is damaged is said, whatever the disk does."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from futures_agent.errors import Blocked, Retry
from futures_agent.exchange.orders import Answer, FillSeen, PlaceMarket, Snapshot, WalletSeen
from futures_agent.exchange.outcome import Outcome
from futures_agent.live.journal import Journal
from futures_agent.live.journal_files import read_journal
from futures_agent.live.records import (
    Answered,
    Checkpoint,
    EntryWanted,
    ExitWanted,
    Happened,
    Reconciled,
    Sent,
    Settled,
)

PROGRAM = Path(__file__).with_name("journal_program.py")


def wanted(number, symbol="BTCUSDT"):
    return ExitWanted(at_ms=number, symbol=symbol, why="SIGNAL")


def segments(directory):
    return sorted(path.name for path in (directory / "paper").glob("*.journal"))


def segment(directory, number=1):
    return directory / "paper" / f"{number:08d}.journal"


def write(directory, count, first=1, **options):
    with Journal(directory, "paper", **options) as journal:
        for number in range(first, first + count):
            journal.append(wanted(number))


def numbers(directory):
    return [record.at_ms for record in read_journal(directory / "paper").records]


EVERY_KIND = (
    EntryWanted(
        at_ms=1,
        trade_id="0a1b2c3d-x",
        symbol="BTCUSDT",
        side=-1,
        quantity=Decimal("0.003"),
        stop_distance=0.1 + 0.2,
        target_distance=0.0,
        decided_ms=0,
        reasons=5,
    ),
    Sent(
        at_ms=2,
        trade_id="0a1b2c3d-x",
        request=PlaceMarket(symbol="币安人生USDT", client_id="c", side=1, quantity=Decimal("1E+2")),
    ),
    Answered(
        at_ms=3,
        answer=Answer(
            request=PlaceMarket(symbol="BTCUSDT", client_id="c", side=1, quantity=Decimal("0.10")),
            outcome=Outcome.REJECTED,
            code=-2019,
            message="Margin is\ninsufficient.\r",
        ),
    ),
    Happened(
        at_ms=4,
        seen=FillSeen(
            symbol="BTCUSDT",
            client_id="c",
            order_id=2**53 + 1,
            trade_id=1,
            side=1,
            price=Decimal("0.00000012"),
            quantity=Decimal("7"),
            fee=Decimal("0.1"),
            fee_asset="USDT",
            realized_pnl=Decimal(0),
            maker=False,
            time_ms=4,
        ),
    ),
    Reconciled(
        at_ms=5,
        fills=(),
        snapshot=Snapshot(
            taken_ms=5,
            positions=(),
            orders=(),
            stops=(),
            wallet=WalletSeen(asset="USDT", balance=Decimal("10.5"), time_ms=5),
        ),
    ),
)


def test_records_come_back_as_they_were(tmp_path):
    with Journal(tmp_path, "paper") as journal:
        journal.append(*EVERY_KIND)
    with Journal(tmp_path, "paper") as journal:
        assert journal.replay.records == EVERY_KIND
        assert (journal.replay.faults, journal.replay.torn) == ((), 0)
        assert str(journal.replay.records[1].request.quantity) == "1E+2"
        journal.release()
        assert journal.replay.records == ()


def test_modes_share_nothing(tmp_path):
    with Journal(tmp_path, "paper") as paper, Journal(tmp_path, "live") as live:
        paper.append(wanted(1))
        live.append(wanted(2))
    assert [record.at_ms for record in read_journal(tmp_path / "live").records] == [2]


def test_only_one_writes(tmp_path):
    with Journal(tmp_path, "paper") as journal:
        with pytest.raises(Blocked, match="already running"):
            Journal(tmp_path, "paper")
        journal.append(wanted(1))
    write(tmp_path, 1, first=2)
    assert numbers(tmp_path) == [1, 2]


def test_segments_end_before_they_grow_too_large(tmp_path):
    write(tmp_path, 30, segment_bytes=1000)
    assert len(segments(tmp_path)) > 2
    assert all(segment(tmp_path, n + 1).stat().st_size <= 1000 for n in range(len(segments(tmp_path))))
    write(tmp_path, 5, first=31, segment_bytes=1000)
    assert numbers(tmp_path) == list(range(1, 36))
    assert read_journal(tmp_path / "paper").faults == ()


def test_a_record_larger_than_a_segment_has_one_of_its_own(tmp_path):
    write(tmp_path, 2, segment_bytes=1)
    assert numbers(tmp_path) == [1, 2]
    assert len(segments(tmp_path)) == 2


def test_a_torn_last_line_is_cut_and_said_wherever_it_was_torn(tmp_path):
    write(tmp_path, 3)
    whole = segment(tmp_path).read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for end in range(last + 1, len(whole)):
        segment(tmp_path).write_bytes(whole[:end])
        assert read_journal(tmp_path / "paper").torn == end - last  # reading changes nothing
        with Journal(tmp_path, "paper") as journal:
            assert [record.at_ms for record in journal.replay.records] == [1, 2]
            assert (journal.replay.torn, journal.replay.faults) == (end - last, ())
            journal.append(wanted(4))
        assert numbers(tmp_path) == [1, 2, 4]
        assert segments(tmp_path) == ["00000001.journal"]


def test_every_damaged_byte_is_said_and_costs_its_own_line_only(tmp_path):
    write(tmp_path, 4)
    whole = segment(tmp_path).read_bytes()
    for position in range(len(whole) - 1):  # the very last byte is the end of the last line: torn
        damaged = bytearray(whole)
        damaged[position] ^= 0x04
        segment(tmp_path).write_bytes(damaged)
        found = read_journal(tmp_path / "paper")
        row = whole[:position].count(b"\n")  # 0: the segment's first line
        assert found.faults, position
        lost = {row, row + 1} if whole[position : position + 1] == b"\n" else {row}
        assert [record.at_ms for record in found.records] == [n for n in range(1, 5) if n not in lost]


def test_a_damaged_segment_stays_as_evidence(tmp_path):
    write(tmp_path, 4)
    damaged = segment(tmp_path).read_bytes().replace(b'"at_ms":2', b'"at_ms":7') + b"torn"
    segment(tmp_path).write_bytes(damaged)
    for first in (5, 6):
        with Journal(tmp_path, "paper") as journal:
            assert "00000001.journal: line 3 is damaged" in journal.replay.faults
            journal.append(wanted(first))
    assert segment(tmp_path).read_bytes() == damaged
    assert numbers(tmp_path) == [1, 3, 4, 5, 6]


def test_a_lost_line_is_missed(tmp_path):
    write(tmp_path, 4)
    lines = segment(tmp_path).read_bytes().splitlines(keepends=True)
    segment(tmp_path).write_bytes(b"".join(lines[:2] + lines[3:]))
    found = read_journal(tmp_path / "paper")
    assert found.faults == ("00000001.journal: 1 lines before line number 4 are missing",)


def test_a_repeated_line_is_told(tmp_path):
    write(tmp_path, 3)
    lines = segment(tmp_path).read_bytes().splitlines(keepends=True)
    segment(tmp_path).write_bytes(b"".join([*lines, lines[2]]))
    assert read_journal(tmp_path / "paper").faults == ("00000001.journal: line number 3 is there twice",)
    assert numbers(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("gone", [1, 2])
def test_a_missing_segment_is_missed(tmp_path, gone):
    write(tmp_path, 12, segment_bytes=400)
    assert len(segments(tmp_path)) >= 4
    segment(tmp_path, gone).unlink()
    faults = read_journal(tmp_path / "paper").faults
    assert any("missing" in fault for fault in faults)


def test_a_segment_of_another_journal_is_no_successor(tmp_path):
    write(tmp_path / "a", 12, segment_bytes=500)
    with Journal(tmp_path / "b", "paper", segment_bytes=500) as journal:
        for number in range(1, 13):
            journal.append(wanted(number, "ETHUSDT"))
    segment(tmp_path / "a", 2).write_bytes(segment(tmp_path / "b", 2).read_bytes())
    faults = read_journal(tmp_path / "a" / "paper").faults
    assert "00000002.journal: does not follow the segment before it" in faults


CHECKPOINT = Checkpoint(
    at_ms=50,
    wallet=WalletSeen(asset="USDT", balance=Decimal(9), time_ms=49),
    settled=(Settled(symbol="BTCUSDT", last_fill=7, decided_ms=3),),
    kept={"peak": 1.5},
)


def test_reading_begins_at_the_newest_checkpoint(tmp_path):
    with Journal(tmp_path, "paper") as journal:
        journal.append(wanted(1))
        journal.start_over(CHECKPOINT)
        journal.append(wanted(51))
    segment(tmp_path, 1).unlink()  # archived: nothing needs it
    with Journal(tmp_path, "paper") as journal:
        assert journal.replay.records == (CHECKPOINT, wanted(51))
        assert journal.replay.faults == ()
        journal.append(wanted(52))
    assert numbers(tmp_path) == [50, 51, 52]


def test_a_checkpoint_that_never_came_to_be_is_none(tmp_path):
    with Journal(tmp_path, "paper") as journal:
        journal.append(wanted(1))
        journal.start_over(CHECKPOINT)
    whole = segment(tmp_path, 2).read_bytes()
    for end in range(len(whole)):
        segment(tmp_path, 2).write_bytes(whole[:end])
        with Journal(tmp_path, "paper") as journal:
            assert journal.replay.records == (wanted(1),), end
            assert journal.replay.faults == ()
            journal.append(wanted(2))
        assert numbers(tmp_path) == [1, 2]
        first = segment(tmp_path).read_bytes().splitlines(keepends=True)
        segment(tmp_path).write_bytes(b"".join(first[:2]))


def test_a_damaged_checkpoint_falls_back_on_what_it_replaced(tmp_path):
    with Journal(tmp_path, "paper") as journal:
        journal.append(wanted(1))
        journal.start_over(CHECKPOINT)
        journal.append(wanted(51))
    segment(tmp_path, 2).write_bytes(segment(tmp_path, 2).read_bytes().replace(b'"balance"', b'"ballance"'))
    found = read_journal(tmp_path / "paper")
    assert found.records == (wanted(1), wanted(51))
    assert found.faults


def test_a_full_disk_refuses_the_record_and_keeps_the_others(tmp_path, limited_file_size):
    with Journal(tmp_path, "paper") as journal:
        journal.append(wanted(1))
        for room in range(0, 90, 7):  # each of these lines has about a hundred bytes
            before = segment(tmp_path).read_bytes()
            with limited_file_size(len(before) + room), pytest.raises(Retry, match="cannot write"):
                journal.append(wanted(2))
            assert segment(tmp_path).read_bytes() == before
        journal.append(wanted(3))
    assert numbers(tmp_path) == [1, 3]


def test_a_full_disk_at_a_new_segment_leaves_none(tmp_path, limited_file_size):
    with Journal(tmp_path, "paper", segment_bytes=300) as journal:
        journal.append(wanted(1))
        for number in range(2, 9):
            with limited_file_size(20), contextlib.suppress(Retry):
                journal.append(wanted(number))
        journal.append(wanted(9))
    assert numbers(tmp_path) == [1, 9]
    assert read_journal(tmp_path / "paper").faults == ()


@pytest.mark.parametrize("truncating_fails", [False, True])
def test_after_a_failed_sync_a_new_segment_takes_over(tmp_path, monkeypatch, truncating_fails):
    """What the old one still holds then was never acknowledged, and is not believed."""

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal(tmp_path, "paper") as journal:
        journal.append(wanted(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            if truncating_fails:
                patch.setattr(os, "ftruncate", fail)
            with pytest.raises(Retry, match="Input/output error"):
                journal.append(wanted(2))
        journal.append(wanted(3))
        journal.append(wanted(4))
    assert (b'"at_ms":2' in segment(tmp_path).read_bytes()) is truncating_fails
    assert len(segments(tmp_path)) == 2
    assert numbers(tmp_path) == [1, 3, 4]
    assert read_journal(tmp_path / "paper").faults == ()


def test_an_append_returns_only_after_the_sync(tmp_path, monkeypatch):
    """Nothing else would tell: a file reads the same before and after."""
    synced = []
    real = os.fdatasync
    with Journal(tmp_path, "paper", segment_bytes=400) as journal:
        monkeypatch.setattr(os, "fdatasync", lambda fd: (real(fd), synced.append(os.fstat(fd).st_size)))
        for number in range(1, 8):
            journal.append(wanted(number))
            newest = tmp_path / "paper" / segments(tmp_path)[-1]
            assert len(synced) == number
            assert synced[-1] == newest.stat().st_size


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path):
    for _ in range(5):
        before = len(numbers(tmp_path))
        with subprocess.Popen(
            [sys.executable, PROGRAM, tmp_path], stdout=subprocess.PIPE, text=True
        ) as program:
            acknowledged = [int(program.stdout.readline()) for _ in range(40)]
            program.kill()
            acknowledged += [int(line) for line in program.stdout.read().splitlines() if line.isdecimal()]
        found = numbers(tmp_path)[before:]
        assert found[: len(acknowledged)] == acknowledged
        assert len(found) <= len(acknowledged) + 1
        assert read_journal(tmp_path / "paper").faults == ()
