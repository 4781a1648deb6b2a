"""What the paper broker told survives any end of its process, once; damage is told, not mended in silence."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.clock import HOUR_MS
from futures_agent.errors import Refuse, Retry
from futures_agent.exchange.orders import (
    FillSeen,
    FundingSeen,
    OrderSeen,
    PositionSeen,
    Seen,
    StopSeen,
    WalletSeen,
)
from futures_agent.exchange.outcome import Outcome
from futures_agent.live import paper_file
from futures_agent.live.paper_file import LineFile, read_lines
from paper_world import EQUITY, SYMBOL, PaperWorld
from sample_markets import START_MS

PROGRAM = Path(__file__).with_name("paper_program.py")


class Told:
    """What somebody knows who heard everything that was told: an account, kept in the simplest way."""

    def __init__(self, seen: list[Seen]) -> None:
        self.fills = [each for each in seen if isinstance(each, FillSeen)]
        self.funding = [each for each in seen if isinstance(each, FundingSeen)]
        wallets = [each.balance for each in seen if isinstance(each, WalletSeen)]
        self.wallet = wallets[-1] if wallets else Decimal(repr(EQUITY))
        self.positions = _newest(seen, PositionSeen, lambda each: each.amount != 0)
        self.orders = _newest(seen, OrderSeen, lambda each: each.is_open)
        self.stops = _newest(seen, StopSeen, lambda each: each.is_open)

    def agrees(self, world: PaperWorld) -> None:
        snapshot = world.broker.snapshot()
        assert snapshot.wallet.balance == self.wallet
        assert set(snapshot.positions) == self.positions
        assert set(snapshot.orders) == self.orders
        assert set(snapshot.stops) == self.stops
        assert world.broker.fills_since(SYMBOL, 0) == self.fills
        assert world.broker.funding_since(0) == self.funding


def _newest(seen: list[Seen], kind: type[Any], keep: Callable[[Any], bool]) -> set[Any]:
    newest = {getattr(each, "client_id", ""): each for each in seen if isinstance(each, kind)}
    return {each for each in newest.values() if keep(each)}


def trade(world: PaperWorld, seed: int, rounds: int) -> Iterator[None]:
    """Do something with the account again and again; yields after each."""
    rng = random.Random(seed)
    for number in range(rounds):
        last = 100 + rng.choice((-7, -3, 0, 3, 7, 12))
        side = rng.choice((1, -1))
        acts: list[Callable[[], object]] = [
            lambda: world.market(side, rng.choice(("5", "10")), f"E{number}"),  # noqa: B023
            lambda: world.stop(-side, str(last - side * 2), f"S{number}"),  # noqa: B023
            lambda: world.target(-side, str(last + side * 2), "5", f"T{number}"),  # noqa: B023
            lambda: world.cancel(f"T{number - 2}"),  # noqa: B023
            lambda: world.price(last, after_ms=60_000),  # noqa: B023
            lambda: world.candle(
                100,
                100 + rng.random() * 9,
                100 - rng.random() * 9,
                100,
                hour=number,  # noqa: B023
            ),
            lambda: world.broker.on_funding(SYMBOL, 0.001, 100.0, world.clock.ms + HOUR_MS),
        ]
        rng.choice(acts)()
        yield


def recorded(tmp_path: Path, seed: int, rounds: int = 120) -> tuple[bytes, list[tuple[int, int]], list[Seen]]:
    """Return the file of a random session, (bytes, things told) after each round, and what was told."""
    world = PaperWorld(tmp_path / f"whole-{seed}")
    marks = [(world.path.stat().st_size, 0)]
    for _ in trade(world, seed, rounds):
        marks.append((world.path.stat().st_size, len(world.seen)))
    world.broker.close()
    return world.path.read_bytes(), marks, world.seen


@pytest.mark.parametrize("seed", range(4))
def test_a_file_cut_anywhere_is_what_had_been_told_by_then(tmp_path: Path, seed: int) -> None:
    data, marks, seen = recorded(tmp_path, seed)
    kinds = {type(each) for each in seen}
    assert kinds >= {FillSeen, OrderSeen, StopSeen, PositionSeen, WalletSeen}
    rng = random.Random(seed)
    path = tmp_path / "cut"
    for (size, told), (next_size, _) in zip(marks, [*marks[1:], (len(data), 0)], strict=True):
        cuts = {size, next_size - 1 if next_size > size and data[size:next_size].count(b"\n") == 1 else size}
        if len(cuts) > 1:
            cuts.add(rng.randrange(size, next_size))
        for cut in cuts:
            path.write_bytes(data[:cut])
            world = PaperWorld(path, last=None)
            Told(seen[:told]).agrees(world)
            world.broker.close()


@pytest.mark.parametrize("seed", range(4))
def test_an_account_restarted_after_every_event_goes_on_as_if_it_had_not_been(
    tmp_path: Path, seed: int
) -> None:
    data, _, seen = recorded(tmp_path, seed, rounds=60)
    world = PaperWorld(tmp_path / "restarted")
    for _ in trade(world, seed, 60):
        last = world.broker._prices[SYMBOL]
        due = dict(world.broker._due)
        world.restart()
        world.broker.on_price(SYMBOL, *last)
        world.broker._due.update(due)  # the next message of the stream tells it again
        Told(world.seen).agrees(world)
    assert world.seen == seen
    assert world.path.read_bytes() == data


def test_after_a_torn_line_the_account_goes_on(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account")
    world.market(1)
    whole = world.path.read_bytes()
    world.stop(-1, "95")
    world.broker.close()
    for torn in (world.path.read_bytes()[:-9], whole + bytes(700), whole + bytes(99) + b'"}\n'):
        world.path.write_bytes(torn)
        again = PaperWorld(world.path)
        assert world.path.read_bytes() == whole
        assert not again.broker.snapshot().stops
        assert again.stop(-1, "94").outcome is Outcome.OK
        again.restart()
        assert [stop.trigger_price for stop in again.broker.snapshot().stops] == [94]
        again.broker.close()


@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_byte_changed_anywhere_is_found(position: float, flip: int) -> None:
    contents = [b'{"equity":1}', b'{"step":"one"}', b'{"step":"two"}']
    data = bytearray(b"".join(paper_file._line(number, each) for number, each in enumerate(contents)))
    at = int(position * len(data))
    data[at] ^= flip
    try:
        found, _ = read_lines(Path("account"), bytes(data))
    except Refuse:
        return
    # The one change that looks like a torn line: in the last one, to a zero or of its end.
    assert found == contents[:2]
    assert data[at] == 0 or at == len(data) - 1


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [lines[0], b"x" + lines[1][1:], *lines[2:]], 2),
        (lambda lines: [lines[0], *lines[2:]], 2),  # one is missing
        (lambda lines: [lines[0], lines[1], lines[1], *lines[2:]], 3),  # one is there twice
        (lambda lines: [lines[0], bytes(len(lines[1]) - 1) + b"\n", *lines[2:]], 2),  # zeros, and more after
        (lambda lines: [*lines[:-1], lines[-1].replace(b"FillSeen", b"FullSeen")], 4),
        (lambda lines: [lines[0][:20]], 1),
    ],
)
def test_damage_is_refused_with_the_line_and_what_to_do(
    tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]], line: int
) -> None:
    world = PaperWorld(tmp_path / "account")
    world.market(1, client_id="a")
    world.market(1, client_id="b")
    world.broker.close()
    lines = world.path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    damaged = b"".join(damage(lines))
    world.path.write_bytes(damaged)
    with pytest.raises(Refuse, match=rf"account: line {line} is damaged; put back a copy .* or move"):
        PaperWorld(world.path)
    assert world.path.read_bytes() == damaged


def test_an_empty_file_and_foreign_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "account"
    path.touch()
    with pytest.raises(Refuse, match="the file is empty"):
        PaperWorld(path)
    for content in (b'{"format":2,"at_ms":1,"equity":"1"}', b'{"other":1}', b"nothing"):
        path.unlink()
        LineFile(path, content).close()
        with pytest.raises(Refuse, match="move the file away"):
            PaperWorld(path)


def test_two_programs_do_not_share_an_account(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account")
    with pytest.raises(Refuse, match="another program trades on this account"):
        PaperWorld(world.path)
    world.broker.close()
    PaperWorld(world.path)


def test_equity_counts_for_a_new_account_only(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account", equity=500.0)
    assert world.wallet == 500
    world.options["equity"] = 900.0
    world.restart()
    assert world.wallet == 500


def test_leverage_is_remembered_with_the_position(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account", leverage=5)
    world.market(1)
    world.broker.close()
    world = PaperWorld(world.path, leverage=2, last=None)
    world.price(75)
    assert world.fills[0].price == 80  # bankrupt at five times


def test_a_clock_set_back_stamps_nothing_before_what_was_told(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account")
    world.market(1, client_id="a")
    world.clock.ms += HOUR_MS
    world.stop(-1, "95")
    world.clock.ms -= 2 * HOUR_MS
    world.restart()
    world.price(100)
    world.market(1, client_id="b")
    assert [fill.time_ms for fill in world.fills] == [START_MS, START_MS + HOUR_MS]


def test_closed_it_executes_nothing(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account")
    world.market(1, client_id="a")
    world.broker.close()
    world.broker.close()
    assert world.market(1, client_id="b").outcome is Outcome.NOT_EXECUTED
    world.price(50, after_ms=1)
    world.candle(100, 100, 50, 50)
    assert len(world.fills) == 1


@pytest.mark.parametrize("fault", ["refused", "short", "unsynced", "uncut"])
def test_a_full_disk_executes_nothing_and_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    world = PaperWorld(tmp_path / "account")
    world.market(1)
    world.stop(-1, "95")
    world.target(-1, "110")
    before, told = world.path.read_bytes(), len(world.seen)
    real_write, real_sync, real_truncate = os.pwrite, os.fsync, os.ftruncate
    failing = True

    def write(descriptor: int, line: bytes, offset: int) -> int:
        if failing and fault == "refused":
            raise OSError(28, "No space left on device")
        return real_write(descriptor, line[:-9] if failing and fault == "short" else line, offset)

    def sync(descriptor: int) -> None:
        if failing and fault in ("unsynced", "uncut"):
            raise OSError(5, "Input/output error")
        real_sync(descriptor)

    def truncate(descriptor: int, length: int) -> None:
        if failing and fault == "uncut":
            raise OSError(5, "Input/output error")
        real_truncate(descriptor, length)

    monkeypatch.setattr(paper_file.os, "pwrite", write)
    monkeypatch.setattr(paper_file.os, "ftruncate", truncate)
    monkeypatch.setattr(paper_file.os, "fsync", sync)
    answer = world.market(1, client_id="b")
    assert answer.outcome is Outcome.NOT_EXECUTED
    assert "free the disk" in answer.message
    with pytest.raises(Retry):
        world.price(94, after_ms=1)
    assert len(world.seen) == told
    failing = False
    assert fault == "uncut" or world.path.read_bytes() == before
    world.cancel("cfa-1-T1")  # a shorter line than the one that failed
    world.restart()
    world.price(94, after_ms=1)
    assert [fill.price for fill in world.fills] == [100, 94]
    world.restart()
    assert world.broker.fills_since(SYMBOL, START_MS) == world.fills


def test_killed_at_any_instant_nothing_told_is_lost_or_doubled(tmp_path: Path) -> None:
    path = tmp_path / "account"
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    told: list[str] = []
    for life in range(4):
        command = [sys.executable, str(PROGRAM), str(path), f"life{life}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
            assert program.stdout is not None
            told += [program.stdout.readline() for _ in range(11 + 6 * life)]
            program.kill()
            told += program.stdout.readlines()
    world = PaperWorld(path, last=None)
    fills = world.broker.fills_since(SYMBOL, 0)
    whole = [line.rstrip() for line in told if line.endswith("\n")]
    assert len(whole) > 60
    assert set(whole) <= {f"{fill.trade_id} {fill.client_id} {fill.price}" for fill in fills}
    assert len({fill.trade_id for fill in fills}) == len({fill.order_id for fill in fills}) == len(fills)
    assert world.wallet == Decimal(repr(EQUITY)) + sum(fill.realized_pnl - fill.fee for fill in fills)
    held = sum(fill.side * fill.quantity for fill in fills)
    assert sum(position.amount for position in world.broker.snapshot().positions) == held
