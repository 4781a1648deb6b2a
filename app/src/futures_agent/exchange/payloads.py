"""Decoding what the exchange sends: tolerant of news in exchangeInfo, strict about candles.

exchangeInfo grows fields, filters and statuses without notice, and one odd symbol must not hide the other
nine hundred. A candle page is either right in every row or not used at all.
Source: Binance USDⓈ-M "Exchange Information" and "Kline/Candlestick Data".
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, field
from numpy.typing import NDArray

from futures_agent.errors import Retry
from futures_agent.market.candle import FULL_CANDLE, Candles, candles_from_columns
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe

# open time, open, high, low, close, volume, close time, quote volume, trades, taker base, taker quote, unused
_KlineRow = tuple[int, str, str, str, str, str, int, str, int, str, str, str]

_WEIGHT_PER_MINUTE = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
_NEEDED_FILTERS = (
    ("PRICE_FILTER", "tickSize"),
    ("LOT_SIZE", "stepSize"),
    ("LOT_SIZE", "minQty"),
    ("LOT_SIZE", "maxQty"),
    ("MIN_NOTIONAL", "notional"),
)
_Body = TypeVar("_Body")


class ExchangeInfo(msgspec.Struct, frozen=True):
    """The exchange's contracts and limits."""

    instruments: dict[str, Instrument]
    untradable: dict[str, str]  # symbol -> why `tradable` is false, or why it could not be read at all
    weight_limit_per_min: int | None  # None when the exchange states none


class _ServerTime(msgspec.Struct):
    # 2017 to 2100: an exchange without a clock of its own would date every candle wrongly.
    server_time: Annotated[int, Meta(ge=1_500_000_000_000, le=4_102_444_800_000)] = field(name="serverTime")


class _ExchangeInfoBody(msgspec.Struct, rename="camel"):
    symbols: list[msgspec.Raw]
    rate_limits: list[dict[str, Any]] = []


class _SymbolName(msgspec.Struct):
    symbol: str = "?"


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    price_precision: int
    quantity_precision: int
    status: str = ""
    contract_type: str = ""
    quote_asset: str = ""
    underlying_type: str = ""
    liquidation_fee: str = "0"
    onboard_date: int = 0
    filters: list[dict[str, Any]] = []


def decode_server_time(body: bytes, source: str) -> int:
    """Return `serverTime`, ms UTC; `source` (the URL) opens the error line.

    Raises
    ------
    Retry
        The body is not what `/fapi/v1/time` answers.
    """
    return _decode(body, _ServerTime, source).server_time


def decode_exchange_info(body: bytes, source: str) -> ExchangeInfo:
    """Return every contract of an exchangeInfo body.

    A contract with an unknown status, or without a filter that orders need, is there but not tradable; one
    that cannot be read at all is left out. `untradable` says why for both.

    Raises
    ------
    Retry
        The body is no exchangeInfo, or lists no contract.
    """
    decoded = _decode(body, _ExchangeInfoBody, source)
    instruments, untradable = {}, {}
    for raw in decoded.symbols:
        try:
            listed = msgspec.json.decode(raw, type=_Symbol)
        except msgspec.DecodeError as error:
            untradable[_name_in(raw)] = f"exchangeInfo entry cannot be read: {error}"
            continue
        instrument, reason = _instrument(listed)
        instruments[instrument.symbol] = instrument
        if reason:
            untradable[instrument.symbol] = reason
    if not instruments:
        raise Retry(f"{source}: the answer lists no contract; not used")
    limits = [
        found.get("limit") for found in decoded.rate_limits if _WEIGHT_PER_MINUTE.items() <= found.items()
    ]
    stated = limits[0] if limits and isinstance(limits[0], int) and limits[0] > 0 else None
    return ExchangeInfo(instruments, untradable, stated)


def decode_klines(body: bytes, timeframe: Timeframe, source: str) -> Candles:
    """Return a page of candles, ascending, as FULL_CANDLE records of shape (n,).

    Raises
    ------
    Retry
        Any row is not a candle of `timeframe`: wrong types, off the grid, out of order, not finite, or a
        high or low that does not enclose open and close. Nothing of such a page is to be used.
    """
    rows = _decode(body, list[_KlineRow], source)
    if not rows:
        return np.zeros(0, dtype=FULL_CANDLE)
    columns = list(zip(*rows, strict=True))
    try:
        open_, high, low, close, volume = (_floats(column) for column in columns[1:6])
        quote_volume, taker_base, taker_quote = (_floats(columns[index]) for index in (7, 9, 10))
        candles = candles_from_columns(
            FULL_CANDLE,
            timestamp=np.array(columns[0], dtype=np.int64),
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
            quote_volume=quote_volume,
            trades=np.array(columns[8], dtype=np.int64),
            taker_buy_volume=taker_base,
            taker_buy_quote_volume=taker_quote,
        )
        close_times = np.array(columns[6], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise Retry(f"{source}: a candle holds what is no number: {error}; page not used") from None
    fault = kline_fault(candles, close_times, timeframe)
    if fault:
        raise Retry(f"{source}: {fault}; page not used")
    return candles


def kline_fault(candles: Candles, close_times: NDArray[np.int64], timeframe: Timeframe) -> str:
    """Return what is wrong with the first bad row, or an empty text.

    Parameters
    ----------
    candles : ndarray of FULL_CANDLE, shape (n,), n > 0
    close_times : ndarray of int, shape (n,)
        As the exchange tells them, ms UTC.
    timeframe : Timeframe
    """
    opens = candles["timestamp"]
    prices = np.stack([candles[name] for name in ("open", "high", "low", "close")])
    amounts = np.stack(
        [
            candles[name]
            for name in ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
        ]
    )
    enclosed = (candles["low"] == prices.min(axis=0)) & (candles["high"] == prices.max(axis=0))
    checks = (
        (opens % timeframe.ms == 0, f"an open time is not on the {timeframe.name} grid"),
        (close_times == opens + timeframe.ms - 1, "a close time does not belong to its open time"),
        (np.diff(opens, prepend=opens[0] - 1) > 0, "open times do not ascend"),
        ((np.isfinite(prices) & (prices > 0)).all(axis=0), "a price is not a positive number"),
        ((np.isfinite(amounts) & (amounts >= 0)).all(axis=0), "a volume or count is not a number from 0"),
        (enclosed, "high and low do not enclose open and close"),
    )
    for good, fault in checks:
        if not good.all():
            return f"{fault} (row {int(np.argmin(good))}, open time {int(opens[np.argmin(good)])})"
    return ""


def _instrument(listed: _Symbol) -> tuple[Instrument, str]:
    """Return the contract and why it is not tradable (empty when it is)."""
    filters = {str(found.get("filterType")): found for found in listed.filters}
    numbers = {f"{kind}.{name}": _positive(filters.get(kind, {}).get(name)) for kind, name in _NEEDED_FILTERS}
    missing = [name for name, value in numbers.items() if not value]
    tick, step, smallest, largest, min_notional = numbers.values()
    market_largest = _positive(filters.get("MARKET_LOT_SIZE", {}).get("maxQty"))
    reasons = [
        f"{name} is {found or 'absent'}, not {wanted}"
        for name, found, wanted in (
            ("contractType", listed.contract_type, "PERPETUAL"),
            ("status", listed.status, "TRADING"),
            ("quoteAsset", listed.quote_asset, "USDT"),
            ("underlyingType", listed.underlying_type, "COIN"),
        )
        if found != wanted
    ]
    if missing:
        reasons.append(f"no usable {', '.join(missing)}")
    instrument = Instrument(
        symbol=listed.symbol,
        status=listed.status,
        tick_size=tick,
        step_size=step,
        min_quantity=smallest,
        # Entries go in at market, where the market filter's maximum binds too.
        max_quantity=min(largest, market_largest) if market_largest else largest,
        min_notional=min_notional,
        price_precision=listed.price_precision,
        quantity_precision=listed.quantity_precision,
        liquidation_fee=_positive(listed.liquidation_fee),
        onboard_ms=listed.onboard_date,
        tradable=not reasons,
    )
    return instrument, "; ".join(reasons)


def _positive(decimal: Any) -> float:
    """Return the number that a decimal text states; 0 when it states none, or none above 0."""
    try:
        value = float(decimal)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def _floats(column: tuple[str, ...]) -> NDArray[np.float64]:
    return np.fromiter(map(float, column), dtype=np.float64, count=len(column))


def _name_in(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=_SymbolName).symbol
    except msgspec.DecodeError:
        return "?"


def _decode(body: bytes, kind: type[_Body], source: str) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Retry(f"{source}: the answer is not what was asked for: {error}; not used") from None
