"""The EMA cross in nautilus_trader 1.221.0: `python run_nautilus.py candles.npz rules.json` prints its tally.

One account with all the money. Risk engine and logging are bypassed, its fast setting. A market order
sent at a bar's close fills at that close, which in these candles is the next open.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("SIM")
PRICE_DIGITS = 8


class Average:
    """A recursive average, seeded with the plain mean of its first `length` values."""

    def __init__(self, length: int, weight: float) -> None:
        self.length, self.weight = length, weight
        self.value, self.count = 0.0, 0

    def update(self, value: float) -> None:
        """Take one more value."""
        self.count += 1
        weight = 1.0 / self.count if self.count <= self.length else self.weight
        self.value += weight * (value - self.value)

    @property
    def ready(self) -> bool:
        """Whether the seed is complete."""
        return self.count >= self.length


class CrossConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg,misc]
    """One strategy per instrument; `rules` are those of all peers."""

    bar_type: BarType
    rules: dict[str, float]


class EmaCross(Strategy):  # type: ignore[misc]
    """Both averages cross: close what is open, enter to the other side with a bracket."""

    def __init__(self, config: CrossConfig) -> None:
        super().__init__(config)
        rules = config.rules
        self.fast = Average(int(rules["fast"]), 2 / (rules["fast"] + 1))
        self.slow = Average(int(rules["slow"]), 2 / (rules["slow"] + 1))
        self.atr = Average(int(rules["atr"]), 1 / rules["atr"])
        self.previous_close: float | None = None
        self.side = 0

    def on_start(self) -> None:
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        high, low, close = float(bar.high), float(bar.low), float(bar.close)
        if self.previous_close is not None:
            self.atr.update(max(high, self.previous_close) - min(low, self.previous_close))
        self.previous_close = close
        self.fast.update(close)
        self.slow.update(close)
        if not (self.slow.ready and self.atr.ready):
            return
        side = 1 if self.fast.value > self.slow.value else -1
        if side == -self.side:
            self.reverse(side, close)
        self.side = side

    def on_stop(self) -> None:
        self.flatten()

    def reverse(self, side: int, close: float) -> None:
        """Leave what is open and enter."""
        self.flatten()
        instrument, rules = self.cache.instrument(self.config.bar_type.instrument_id), self.config.rules
        order = self.order_factory.bracket(
            instrument_id=instrument.id,
            order_side=OrderSide.BUY if side > 0 else OrderSide.SELL,
            quantity=instrument.make_qty(int(rules["notional"] / close)),
            sl_trigger_price=instrument.make_price(close - side * rules["stop_atr"] * self.atr.value),
            tp_price=instrument.make_price(close + side * rules["target_atr"] * self.atr.value),
            tp_post_only=False,
        )
        self.submit_order_list(order)

    def flatten(self) -> None:
        """Cancel the bracket and close the position."""
        instrument_id = self.config.bar_type.instrument_id
        self.cancel_all_orders(instrument_id)
        self.close_all_positions(instrument_id)


def perpetual(symbol: str, fee: float) -> CryptoPerpetual:
    """Return a contract traded in whole units."""
    return CryptoPerpetual(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        base_currency=Currency.from_str(symbol.removesuffix("USDT")),
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=PRICE_DIGITS,
        price_increment=Price(10**-PRICE_DIGITS, PRICE_DIGITS),
        size_precision=0,
        size_increment=Quantity(1, 0),
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
        maker_fee=Decimal(str(fee)),
        taker_fee=Decimal(str(fee)),
        ts_event=0,
        ts_init=0,
    )


def bars_of(series: Any, bar_type: BarType, instrument: CryptoPerpetual) -> list[Bar]:
    """Return bars stamped with their close."""
    closes = pd.to_datetime(series["timestamp"] + 3_600_000, unit="ms", utc=True)
    columns = {name: series[name].round(PRICE_DIGITS) for name in ("open", "high", "low", "close")}
    frame = pd.DataFrame({**columns, "volume": series["volume"].round()}, index=closes)
    return BarDataWrangler(bar_type, instrument).process(frame)  # type: ignore[no-any-return]


def main(candles: str, rules_file: str) -> None:
    """Run all symbols in one engine and print trades and net profit as JSON."""
    with open(rules_file, encoding="utf-8") as file:
        rules = json.load(file)
    series = np.load(candles)
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True)
        )
    )
    engine.add_venue(
        VENUE,
        OmsType.HEDGING,
        AccountType.MARGIN,
        starting_balances=[Money(rules["cash"] * len(series.files), USDT)],
        base_currency=USDT,
        default_leverage=Decimal(20),
    )
    for symbol in series.files:
        instrument = perpetual(symbol, rules["fee"])
        bar_type = BarType.from_str(f"{instrument.id}-1-HOUR-LAST-EXTERNAL")
        engine.add_instrument(instrument)
        engine.add_data(bars_of(series[symbol], bar_type, instrument))
        engine.add_strategy(EmaCross(CrossConfig(bar_type=bar_type, rules=rules, order_id_tag=symbol)))
    engine.run()
    positions = engine.cache.positions_closed()
    print(json.dumps([len(positions), sum(float(position.realized_pnl) for position in positions)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
