"""The paper broker: an exchange of our own for one account, on the market data of the real one.

Orders fill by the rules of the backtest (`execution/`), at prices that are handed in: the newest price as it
comes, and each closed candle, which shows what the prices left out. Every step of the account is on the disk
before anybody hears of it. What paper trading assumes is listed in docs/paper-trading.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import msgspec

from futures_agent.clock import MINUTE_MS, SECOND_MS, Clock
from futures_agent.errors import Refuse, Retry
from futures_agent.exchange.orders import (
    Answer,
    Cancel,
    CancelStop,
    FillSeen,
    FundingSeen,
    OrderSeen,
    PlaceMarket,
    PlaceStop,
    PlaceTarget,
    QueryOrder,
    Request,
    Snapshot,
    StopSeen,
    WalletSeen,
)
from futures_agent.exchange.outcome import Outcome
from futures_agent.live.broker import OnSeen
from futures_agent.live.paper_account import ASSET, FORMAT, Account, Opening, Step
from futures_agent.live.paper_file import LineFile
from futures_agent.live.paper_rules import Refused, admit_market, admit_stop, admit_target, exact
from futures_agent.live.paper_turn import Bar, Finer, Turn, costs_of
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings

_LIQUIDATION_FEE = 0.0125  # of most contracts; where the instrument is not known any more


class _Price(NamedTuple):
    price: float
    at_ms: int


class _Due(NamedTuple):
    """A funding instant to come."""

    instant_ms: int
    rate: float


class PaperBroker:
    """One paper account; a `Broker`.

    Parameters
    ----------
    path : Path
        The account's file; begun where it is not there.
    equity : float
        What a new account begins with, quote units.
    costs : CostSettings
        Fees, slippage, and whether there is funding.
    instruments : mapping of symbol to Instrument
        Read at each order; may be kept up to date from outside.
    timeframe, finer : Timeframe
        Candles that judge positions, those the strategy decides on; and those that decide what they leave
        open, if any. All others are ignored.
    clock : Clock
        Exchange time.
    on_seen : callable
        Told what happens, in order, on whatever thread made it happen. It must not call the broker.
    opening_s : float
        An order placed within so many seconds of a candle's open meets the whole candle, as in the backtest;
        one placed later meets only prices until that candle has closed.

    Raises
    ------
    Refuse
        The account's file is damaged, or another program trades on it.
    Retry
        The disk is full or failing.
    """

    def __init__(
        self,
        path: Path,
        *,
        equity: float,
        costs: CostSettings,
        instruments: Mapping[str, Instrument],
        timeframe: Timeframe,
        finer: Timeframe | None,
        clock: Clock,
        on_seen: OnSeen,
        opening_s: float = 120.0,
    ) -> None:
        self._instruments = instruments
        self._timeframe, self._finer = timeframe, finer
        self._clock, self._on_seen = clock, on_seen
        self._opening_ms = int(opening_s * SECOND_MS)
        self._costs, self._with_funding = costs_of(costs, timeframe.ms), costs.funding
        self._lock = Lock()
        self._closed = False
        now_ms = clock.now_ms()
        opening = Opening(format=FORMAT, at_ms=now_ms, equity=exact(equity))
        self._file = LineFile(path, msgspec.json.encode(opening))
        try:
            self._account = _read_account(path, self._file.contents)
        except Refuse:
            self._file.close()
            raise
        self._file.contents = []
        # Nothing is stamped before what somebody may have asked "since" of.
        self._told_ms = max(self._account.told_ms, now_ms)
        self._prices: dict[str, _Price] = {}
        self._volumes: dict[str, float] = {}
        self._newest: dict[str, int] = {}  # open time of the newest candle
        self._finer_bars: defaultdict[str, dict[int, Bar]] = defaultdict(dict)
        self._due: dict[str, _Due] = {}

    # Broker.

    def prepare(self, symbols: Sequence[str], leverage: int) -> None:
        """Set the leverage of positions opened from now on. See `Broker.prepare`."""
        unknown = [symbol for symbol in symbols if symbol not in self._instruments]
        if unknown:
            raise Refuse(
                f"paper trading: no contract named {', '.join(unknown)} is known; run agentctl data-sync, or "
                "mend data.symbols"
            )
        if leverage < 1:
            raise Refuse(f"paper trading: leverage {leverage} is not possible; set risk.max_leverage to 1 up")
        with self._lock:
            if leverage != self._account.leverage:
                self._commit(Step(at_ms=self._clock.now_ms(), leverage=leverage))

    def send(self, request: Request) -> Answer:
        """Execute one request. See `Broker.send`.

        A disk that cannot hold the step leaves it NOT_EXECUTED; nothing here is ever UNKNOWN.
        """
        with self._lock:
            if self._closed:
                return Answer(request=request, outcome=Outcome.NOT_EXECUTED, message="the broker is closed")
            try:
                return Answer(request=request, outcome=Outcome.OK, seen=self._serve(request))
            except Refused as error:
                return Answer(request=request, outcome=Outcome.REJECTED, code=error.code, message=str(error))
            except (Retry, Refuse) as error:
                return Answer(request=request, outcome=Outcome.NOT_EXECUTED, message=str(error))

    def snapshot(self) -> Snapshot:
        """Return the account as it is. See `Broker.snapshot`."""
        with self._lock:
            account, books = self._account, self._account.books.values()
            return Snapshot(
                taken_ms=self._now_ms(),
                positions=tuple(book.position for book in books if book.side),
                orders=tuple(order for book in books for order in book.orders.values()),
                stops=tuple(stop for book in books for stop in book.stops.values()),
                wallet=WalletSeen(asset=ASSET, balance=account.wallet, time_ms=account.wallet_ms),
            )

    def fills_since(self, symbol: str, since_ms: int) -> list[FillSeen]:
        """Return the fills of `symbol` from `since_ms` on, oldest first."""
        with self._lock:
            self._now_ms()
            return [fill for fill in self._account.fills.get(symbol, ()) if fill.time_ms >= since_ms]

    def funding_since(self, since_ms: int) -> list[FundingSeen]:
        """Return the funding payments from `since_ms` on, oldest first."""
        with self._lock:
            self._now_ms()
            return [payment for payment in self._account.funding if payment.time_ms >= since_ms]

    def held_since(self, ended_ms: int) -> dict[str, int]:
        """Return symbol → when its position was opened, of those open now or since `ended_ms`."""
        with self._lock:
            found = {symbol: self._account.newest_position(symbol) for symbol in self._account.books}
        return {symbol: began for symbol, (began, end) in found.items() if end is None or end >= ended_ms}

    def close(self) -> None:
        """Let go of the account's file; what is sent from now on is not executed."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._file.close()

    # The market. Each of these raises Retry or Refuse where the disk cannot hold what happened: then it
    # has not, and happens with the next price or candle that shows it.

    def on_price(self, symbol: str, price: float, at_ms: int) -> None:
        """The newest price: what it touches or goes through happens, at this price where it gapped."""
        with self._lock:
            known = self._prices.get(symbol)
            if self._closed or (known is not None and at_ms < known.at_ms):
                return
            self._pay_due(symbol, price, at_ms)
            self._prices[symbol] = _Price(price, at_ms)
            turn = self._turn(symbol, at_ms)
            turn.judge(Bar(at_ms, price, price, price), self._told_ms, self._liquidation_fee(symbol))
            self._commit(turn.step)

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None:
        """A candle has closed (record with the fields of CANDLE): what it reached has happened within it.

        The finer candles of a candle should come before it. It may come late, after newer ones or after a
        restart; a second time it does nothing.
        """
        bar = Bar(*(candle[name].item() for name in Bar._fields))
        with self._lock:
            if self._closed:
                return
            if timeframe is self._finer:
                self._keep_finer(symbol, bar)
            if timeframe is not self._timeframe:
                return
            self._pay_due(symbol, bar.open, bar.timestamp)
            close_ms = bar.timestamp + timeframe.ms
            turn = self._turn(symbol, close_ms - 1)
            turn.judge(
                bar,
                bar.timestamp + self._opening_ms,
                self._liquidation_fee(symbol),
                self._finer_of(symbol, bar),
            )
            self._commit(turn.step)
            if bar.timestamp >= self._newest.get(symbol, 0):
                self._newest[symbol], self._volumes[symbol] = bar.timestamp, candle["volume"].item()
            known = self._prices.get(symbol)
            if known is None or known.at_ms < close_ms:
                self._prices[symbol] = _Price(candle["close"].item(), close_ms)

    def on_funding(self, symbol: str, rate: float, mark_price: float, due_ms: int) -> None:
        """The funding rate of the instant `due_ms`, which may have passed.

        One to come replaces what was known of it, and is paid once prices or the clock are past it. One that
        has passed is paid at `mark_price` by who held the position then, unless it has been.
        """
        if not self._with_funding:
            return
        instant_ms = due_ms - due_ms % MINUTE_MS  # records stamp it some ms late
        with self._lock:
            if self._closed:
                return
            now_ms, waiting = self._clock.now_ms(), self._due.get(symbol)
            # Whoever tells of the next instant may be a little ahead of our clock.
            if waiting and waiting.instant_ms < instant_ms and waiting.instant_ms < now_ms + MINUTE_MS:
                self._pay_due(symbol, mark_price, waiting.instant_ms)
            if instant_ms > now_ms:
                self._due[symbol] = _Due(instant_ms, rate)
                return
            self._pay(symbol, instant_ms, rate, mark_price)
            if waiting and waiting.instant_ms == instant_ms:
                self._due.pop(symbol, None)

    # Requests.

    def _serve(self, request: Request) -> OrderSeen | StopSeen:
        symbol, client_id = request.symbol, request.client_id
        instrument = self._instruments.get(symbol)
        if instrument is None:
            raise Refused(-1121)
        now_ms = self._now_ms()
        known = self._prices.get(symbol)
        if known is not None:
            self._pay_due(symbol, known.price, now_ms)
        account, turn = self._account, self._turn(symbol, now_ms)
        last = exact(known.price) if known is not None else None
        seen: OrderSeen | StopSeen | None
        if isinstance(request, PlaceMarket):
            quantity = admit_market(request, instrument, account, last)
            seen = turn.place_market(request, quantity, last or Decimal(0))
        elif isinstance(request, PlaceTarget):
            quantity = admit_target(request, instrument, account, last)
            seen = turn.place_target(request, quantity, last or Decimal(0))
        elif isinstance(request, PlaceStop):
            admit_stop(request, instrument, account, last)
            seen = turn.place_stop(request)
        elif isinstance(request, Cancel):
            seen = turn.cancel(_found(turn.book.orders.get(client_id), -2011))
        elif isinstance(request, CancelStop):
            seen = turn.cancel_stop(_found(turn.book.stops.get(client_id), -2011))
        elif isinstance(request, QueryOrder):
            seen = _found(account.orders.get((symbol, client_id)), -2013)
        else:
            seen = _found(account.stops.get((symbol, client_id)), -2013)
        self._commit(turn.step)
        return seen

    # Steps.

    def _turn(self, symbol: str, at_ms: int) -> Turn:
        self._told_ms = max(self._told_ms, at_ms)
        volume = self._volumes.get(symbol, 0.0)
        return Turn(self._account, symbol, self._costs, volume, at_ms, self._told_ms)

    def _commit(self, step: Step) -> None:
        """Let a step have happened: on the disk, then in the account, then told."""
        if not step.seen and not step.leverage:
            return
        self._file.append(msgspec.json.encode(step))
        self._account.apply(step)
        for seen in step.seen:
            self._on_seen(seen)

    def _now_ms(self) -> int:
        """Return the time, before which nothing will be stamped any more."""
        now_ms = self._clock.now_ms()
        self._told_ms = max(self._told_ms, now_ms)
        return now_ms

    def _pay_due(self, symbol: str, mark_price: float, now_ms: int) -> None:
        """Pay the funding that waits, where its instant has come."""
        due = self._due.get(symbol)
        if due is not None and due.instant_ms <= now_ms:
            self._pay(symbol, due.instant_ms, due.rate, mark_price)
            self._due.pop(symbol)

    def _pay(self, symbol: str, instant_ms: int, rate: float, mark_price: float) -> None:
        held = self._account.held_at(symbol, instant_ms)
        if held and not self._account.is_funded(symbol, instant_ms):
            turn = self._turn(symbol, instant_ms)
            turn.fund(held, exact(mark_price), exact(rate))
            self._commit(turn.step)

    def _keep_finer(self, symbol: str, bar: Bar) -> None:
        kept = self._finer_bars[symbol]
        kept[bar.timestamp] = bar
        for timestamp in [each for each in kept if each < bar.timestamp - self._timeframe.ms]:
            del kept[timestamp]

    def _finer_of(self, symbol: str, bar: Bar) -> Finer | None:
        if self._finer is None:
            return None
        kept = self._finer_bars[symbol]
        opens = range(bar.timestamp, bar.timestamp + self._timeframe.ms, self._finer.ms)
        return Finer([kept[open_ms] for open_ms in opens if open_ms in kept], self._finer.ms)

    def _liquidation_fee(self, symbol: str) -> float:
        instrument = self._instruments.get(symbol)
        return instrument.liquidation_fee if instrument is not None else _LIQUIDATION_FEE


def _read_account(path: Path, contents: Sequence[bytes]) -> Account:
    """Return the account that the lines of its file make.

    Raises
    ------
    Refuse
        They were written by another version, or not by this program.
    """
    try:
        opening = msgspec.json.decode(contents[0], type=Opening)
        if opening.format != FORMAT:
            raise Refuse(
                f"{path}: a paper account of format {opening.format}, this version reads {FORMAT}; install "
                "the version that wrote it, or move the file away to begin anew"
            )
        account = Account(opening)
        steps = msgspec.json.Decoder(Step)
        for content in contents[1:]:
            account.apply(steps.decode(content))
    except msgspec.MsgspecError as error:
        raise Refuse(
            f"{path}: not a paper account of this version ({error}); install the version that wrote it, or "
            "move the file away to begin anew"
        ) from None
    return account


def _found(order: Any, code: int) -> Any:
    if order is None:
        raise Refused(code)
    return order
