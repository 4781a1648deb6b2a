"""The made-up market that backtests are measured on, as a database and as plain arrays.

Geometric Brownian motion with a common factor, one seed: the same candles for every engine. H4 and D1
are made up of the H1 candles, so that validation finds nothing to object to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from futures_agent.clock import DAY_MS, HOUR_MS, SystemClock
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DataSettings
from futures_agent.simulator.series import Grid, whole_bars
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.instruments import upsert_instruments

SEED = 20261120
GRID = Grid(price=8, volume=3, quote=3)


def write_market(directory: Path, symbols: int, days: int, *, arrays: bool = False) -> None:
    """Write `db/crypto_agent.db`, and the H1 candles as `candles.npz` where `arrays` are wanted."""
    names = symbol_names(symbols)
    first_ms = Timeframe.H1.open_of(SystemClock().now_ms()) - days * DAY_MS
    candles = dict(zip(names, correlated_walks(symbols, days * 24, first_ms), strict=True))
    if arrays:
        np.savez(directory / "candles.npz", **candles)
    write_database(directory / "db" / "crypto_agent.db", candles)


def write_database(path: Path, candles: Mapping[str, Candles]) -> None:
    """Store H1 candles, and the H4 and D1 candles that they make up."""
    path.parent.mkdir()
    with contextlib.closing(open_writer(path)) as db:
        upsert_instruments(db, [instrument(symbol) for symbol in candles], updated_at_ms=0)
        for symbol, hours in candles.items():
            upsert_candles(db, Timeframe.H1, symbol, hours)
            for higher in (Timeframe.H4, Timeframe.D1):
                upsert_candles(db, higher, symbol, whole_bars(hours, Timeframe.H1, higher, GRID))


def symbol_names(count: int) -> Sequence[str]:
    """Return the default symbols, and made-up ones where more are wanted."""
    known = DataSettings().symbols
    return (*known, *(f"MADEUP{number}USDT" for number in range(count - len(known))))[:count]


def correlated_walks(symbols: int, bars: int, first_ms: int) -> Candles:
    """Return H1 candles of shape (symbols, bars), the first of which open at `first_ms`."""
    rng = np.random.default_rng(SEED)
    returns = rng.normal(0, 0.004, (1, bars)) + rng.normal(0, 0.006, (symbols, bars))
    candles = np.zeros((symbols, bars), dtype=FULL_CANDLE)
    candles["timestamp"] = first_ms + HOUR_MS * np.arange(bars)
    candles["close"] = np.exp(np.cumsum(returns, axis=1))
    candles["open"][:, 0] = 1.0
    candles["open"][:, 1:] = candles["close"][:, :-1]
    reach = np.abs(rng.normal(0, 0.004, (2, symbols, bars)))
    candles["high"] = np.maximum(candles["open"], candles["close"]) * (1 + reach[0])
    candles["low"] = np.minimum(candles["open"], candles["close"]) * (1 - reach[1])
    candles["volume"] = candles["quote_volume"] = rng.lognormal(15, 1, (symbols, bars))
    return candles


def instrument(symbol: str) -> Instrument:
    """Return a contract traded in whole units, as the peers' are, whose tick rounds nothing away."""
    return Instrument(
        symbol=symbol,
        status="TRADING",
        tick_size=1e-8,
        step_size=1.0,
        min_quantity=1.0,
        max_quantity=1e9,
        min_notional=5.0,
        price_precision=8,
        quantity_precision=0,
        liquidation_fee=0.0,
        onboard_ms=0,
        tradable=True,
    )
