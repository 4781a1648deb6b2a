"""What a simulated exchange is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.trading.config import TradingConfig
from futures_agent.simulator.trading.ledger import LINES_KEPT


class SimulatorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one simulator; times in ms UTC.

    Without `dataset` the candles are generated from `seed`, for `symbols` or the product's default
    list. With `dataset` (a folder or a file, see `simulator.dataset`) they are the recorded ones, of
    `symbols` or all, from `data_start_ms` up to `data_end_ms`.
    """

    symbols: tuple[str, ...] = ()
    untradable_symbols: bool = True  # list settling, dated, non-USDT and non-coin contracts as well
    seed: int = 1
    history_days: Annotated[int, Meta(ge=0, le=3650)] = 400  # generated candles before the start
    onboard_ms: dict[str, int] = field(default_factory=dict)  # generated symbols that were listed later
    dataset: Path | None = None
    data_start_ms: int | None = None
    data_end_ms: int | None = None
    start_ms: int | None = None  # None: the host's time; with a dataset, half a day before its common end
    scale: Annotated[float, Meta(ge=0, le=100_000)] = 1.0  # 1 real time, 60 an hour a minute, 0 stepped
    latency_ms: Annotated[float, Meta(ge=0)] = 0.0  # host time added to each answer
    weight_limit: Annotated[int, Meta(gt=0)] = 2400  # request weight per venue minute and client address
    tolerated_refusals: Annotated[int, Meta(ge=0)] = 10  # 429 answers per minute; one more request bans
    orders_per_10s: Annotated[int, Meta(gt=0)] = 300  # orders that an account may send
    orders_per_min: Annotated[int, Meta(gt=0)] = 1200
    legacy_avg_price: bool = False  # placing an order is answered with avgPrice and cumQuote, as it once was
    streams: StreamsConfig = field(default_factory=StreamsConfig)  # WebSockets
    trading: TradingConfig = field(default_factory=TradingConfig)  # accounts, fills, fees
    script: Path | None = None  # of faults; see fault_script
    ledger: Path | None = None  # a new file, which takes every line of the ledger
    ledger_lines_kept: Annotated[int, Meta(gt=0)] = LINES_KEPT  # the newest ones, in memory
    retry_after: bool = True  # 429 and 418 carry a Retry-After header
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0  # 0: any free one
