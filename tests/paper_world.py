"""A paper broker with a clock that is set by hand; what it tells is kept."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from futures_agent.exchange.orders import (
    Answer,
    Cancel,
    CancelStop,
    FillSeen,
    PlaceMarket,
    PlaceStop,
    PlaceTarget,
    QueryOrder,
    QueryStop,
    Seen,
)
from futures_agent.live.paper import PaperBroker
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings
from sample_markets import START_MS, bars, instrument

COSTS = CostSettings(maker_fee_bps=2.0, taker_fee_bps=5.0, slippage_bps=0.0, impact_bps=0.0)
SYMBOL = "BTCUSDT"
EQUITY = 10_000.0


class SetClock:
    """Stands still until it is set."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a paper broker does not wait")


class PaperWorld:
    """One account, whose file can be opened again; BTCUSDT stands at 100."""

    def __init__(self, path: Path, *, last: float | None = 100.0, leverage: int = 10, **options: Any) -> None:
        self.path = path
        self.clock = SetClock()
        self.seen: list[Seen] = []
        self.options: dict[str, Any] = {
            "equity": EQUITY,
            "costs": COSTS,
            "instruments": {SYMBOL: instrument(SYMBOL), "ETHUSDT": instrument("ETHUSDT")},
            "timeframe": Timeframe.H1,
            "finer": Timeframe.M15,
            **options,
        }
        self.broker = self._open()
        self.broker.prepare([SYMBOL], leverage)
        if last is not None:
            self.price(last)

    def _open(self) -> PaperBroker:
        return PaperBroker(self.path, clock=self.clock, on_seen=self.seen.append, **self.options)

    def restart(self) -> None:
        self.broker.close()
        self.broker = self._open()

    # The market.

    def price(self, price: float, after_ms: int = 0) -> None:
        """Let `after_ms` pass, then the price comes."""
        self.clock.ms += after_ms
        self.broker.on_price(SYMBOL, price, self.clock.ms)

    def candle(
        self,
        *prices: float,
        hour: int = 0,
        volume: float = 0.0,
        timeframe: Timeframe = Timeframe.H1,
        quarter: int = 0,
    ) -> None:
        """Close a candle (open, high, low, close) that opened `hour` hours after the start."""
        open_ms = START_MS + hour * Timeframe.H1.ms + quarter * Timeframe.M15.ms
        candle: np.void = bars([prices], start_ms=open_ms)[0]  # type: ignore[list-item]
        candle["volume"] = volume
        self.clock.ms = max(self.clock.ms, open_ms + timeframe.ms)
        self.broker.on_candle(SYMBOL, timeframe, candle)

    # Requests.

    def market(self, side: int, quantity: str = "10", client_id: str = "cfa-1-E1", **options: Any) -> Answer:
        request = PlaceMarket(
            symbol=options.pop("symbol", SYMBOL),
            client_id=client_id,
            side=side,
            quantity=Decimal(quantity),
            **options,
        )
        return self.broker.send(request)

    def target(self, side: int, price: str, quantity: str = "10", client_id: str = "cfa-1-T1") -> Answer:
        return self.broker.send(
            PlaceTarget(
                symbol=SYMBOL,
                client_id=client_id,
                side=side,
                quantity=Decimal(quantity),
                price=Decimal(price),
            )
        )

    def stop(self, side: int, price: str, client_id: str = "cfa-1-S1") -> Answer:
        request = PlaceStop(symbol=SYMBOL, client_id=client_id, side=side, trigger_price=Decimal(price))
        return self.broker.send(request)

    def cancel(self, client_id: str) -> Answer:
        return self.broker.send(Cancel(symbol=SYMBOL, client_id=client_id))

    def cancel_stop(self, client_id: str) -> Answer:
        return self.broker.send(CancelStop(symbol=SYMBOL, client_id=client_id))

    def query(self, client_id: str) -> Answer:
        return self.broker.send(QueryOrder(symbol=SYMBOL, client_id=client_id))

    def query_stop(self, client_id: str) -> Answer:
        return self.broker.send(QueryStop(symbol=SYMBOL, client_id=client_id))

    # What came of it.

    @property
    def wallet(self) -> Decimal:
        return self.broker.snapshot().wallet.balance

    @property
    def fills(self) -> list[FillSeen]:
        return [each for each in self.seen if isinstance(each, FillSeen)]

    def told(self) -> list[str]:
        """Return what has been told since the last call, in order, as `Kind STATUS`."""
        words = [f"{type(each).__name__} {getattr(each, 'status', '')}".strip() for each in self.seen]
        self.seen.clear()
        return words
