"""The settings tree: every default of the product, one field per line, the unit in the name.

A value that would make no sense cannot be built: bounds are part of the types.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from futures_agent.market.timeframe import Timeframe

TimeframeName = Literal["D1", "H4", "H1", "M15"]
SymbolName = Annotated[str, Meta(min_length=3, max_length=40, pattern=r"^\S+$")]
SeriesName = Annotated[str, Meta(pattern=r"^[A-Z0-9_]+$")]
# No user, password, query or fragment: addresses are printed, logged and kept in records.
HTTP_URL = r"^https?://[^\s/?#@\\]+(/[^\s?#\\]*)?\Z"
HttpUrl = Annotated[str, Meta(pattern=HTTP_URL)]
STREAM_URL = r"^wss?://[^\s/?#@\\]+(/[^\s?#\\]*)?\Z"
StreamUrl = Annotated[str, Meta(pattern=STREAM_URL)]
TIME_OF_DAY = r"^([01]\d|2[0-3]):[0-5]\d\Z"
TimeOfDay = Annotated[str, Meta(pattern=TIME_OF_DAY)]
LOG_LEVEL = r"^(?i:DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL)\Z"
LogLevel = Annotated[str, Meta(pattern=LOG_LEVEL)]

# Every number has both bounds: `inf` and `nan` fail them too.
Share = Annotated[float, Meta(gt=0, le=1)]
PositiveInt = Annotated[int, Meta(gt=0, le=1_000_000)]
NonNegativeInt = Annotated[int, Meta(ge=0, le=1_000_000)]
PositiveFloat = Annotated[float, Meta(gt=0, le=1_000_000)]
NonNegativeFloat = Annotated[float, Meta(ge=0, le=1_000_000)]
QuoteUnits = Annotated[float, Meta(ge=0, le=1e12)]
Attempts = Annotated[int, Meta(ge=1, le=10)]
Timeout = Annotated[float, Meta(gt=0, le=300)]  # seconds
Wait = Annotated[float, Meta(ge=0, le=3_600)]  # seconds
WaitLimit = Annotated[float, Meta(gt=0, le=3_600)]  # seconds
Hours = Annotated[float, Meta(gt=0, le=87_600)]
Days = Annotated[float, Meta(gt=0, le=3_650)]
NonNegativeDays = Annotated[float, Meta(ge=0, le=3_650)]
Bps = Annotated[float, Meta(ge=0, le=1_000)]
Leverage = Annotated[float, Meta(gt=0, le=20)]

# What someone is told whose text does not have the form.
FORMS = {
    HTTP_URL: "expected http(s)://host[:port][/path], without user, password, query or fragment",
    STREAM_URL: "expected ws(s)://host[:port][/path], without user, password, query or fragment",
    TIME_OF_DAY: "expected HH:MM",
    LOG_LEVEL: "expected DEBUG, INFO, WARNING, ERROR or CRITICAL",
}

# Sixty liquid coin perpetuals; the inventory replaces the list.
DEFAULT_SYMBOLS = tuple(
    f"{base}USDT"
    for base in (
        "BTC ETH BNB SOL XRP DOGE ADA TRX LINK AVAX SUI XLM DOT HBAR LTC BCH UNI 1000PEPE NEAR APT "
        "ICP ETC AAVE ATOM VET FIL ARB OP INJ 1000SHIB ALGO RENDER SEI STX IMX GRT TIA LDO JUP RUNE "
        "SAND MANA AXS THETA GALA FLOW EGLD CHZ APE DYDX CRV SNX COMP ZEC DASH KSM ENJ 1INCH ENS WLD"
    ).split()
)


DEFAULT_FRED_SERIES = tuple("DFF DGS10 DGS2 T10Y2Y DTWEXBGS VIXCLS SP500 CPIAUCSL M2SL WALCL".split())


class PathSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where things lie."""

    state_dir: str = "/var/lib/crypto-futures-agent"

    @property
    def state(self) -> Path:
        return Path(self.state_dir)

    @property
    def database(self) -> Path:
        return self.state / "db" / "crypto_agent.db"

    @property
    def locked_flag(self) -> Path:
        """While this file exists no program opens the database for writing."""
        return self.state / "db" / "LOCKED"

    @property
    def writer_lock(self) -> Path:
        """Jobs that write the database take this lock in turn."""
        return self.state / "db" / "writer.lock"

    @property
    def hot_backups(self) -> Path:
        return self.state / "backups" / "hot"

    @property
    def evidence(self) -> Path:
        """Where a restore keeps the database that it replaced."""
        return self.state / "db" / "evidence"

    @property
    def results(self) -> Path:
        return self.state / "backtest" / "results"

    @property
    def holds(self) -> Path:
        return self.state / "holds"

    @property
    def exchange_state(self) -> Path:
        """What every program of the host shares about the exchange: weight used, ban, clock offset."""
        return self.state / "exchange"

    @property
    def live(self) -> Path:
        """The live trader's own: memory of the strategy, decisions, status, commands."""
        return self.state / "live"

    @property
    def decisions(self) -> Path:
        """The live trader's decision log, which the backtest reads."""
        return self.live / "decisions"

    @property
    def journal(self) -> Path:
        """The live trader's journal of orders and fills."""
        return self.state / "journal"

    @property
    def incidents(self) -> Path:
        return self.state / "incidents"

    def job(self, name: str) -> Path:
        """The state directory of one job: its run records and reports."""
        return self.state / "jobs" / name


class ExchangeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The venue's REST interface."""

    rest_url: HttpUrl = "https://fapi.binance.com"
    stream_url: StreamUrl = "wss://fstream.binance.com"  # routes /public, /market and /private are added
    recv_window_ms: Annotated[int, Meta(ge=100, le=60_000)] = 5_000
    weight_limit_per_min: PositiveInt = 2400  # replaced by what exchangeInfo says
    weight_limit_share: Share = 0.5  # what jobs may bring the host's use to
    live_weight_limit_share: Share = 0.9  # what the live trader may; the difference is its own
    connect_timeout_s: Timeout = 3.05
    read_timeout_s: Timeout = 10.0
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 8
    close_grace_ms: Annotated[int, Meta(ge=0, le=60_000)] = 2_000  # a candle counts as closed this late
    clock_resync_s: WaitLimit = 300.0  # of exchange time
    time_scale: Annotated[float, Meta(ge=0.001, le=100_000)] = 1.0  # not 1 only with a simulator on loopback

    def weight_share(self, *, live: bool) -> float:
        """Return the share of the limit up to which a job, or the live trader, may bring the host's use."""
        return max(self.weight_limit_share, self.live_weight_limit_share) if live else self.weight_limit_share


class DataSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is collected, and when it counts as good."""

    symbols: Annotated[tuple[SymbolName, ...], Meta(min_length=1)] = DEFAULT_SYMBOLS
    timeframes: Annotated[tuple[TimeframeName, ...], Meta(min_length=1)] = ("D1", "H4", "H1")
    history_days: Annotated[int, Meta(ge=1, le=3650)] = 365
    stale_after_h_d1: Hours = 168.0
    stale_after_h_h4: Hours = 24.0
    stale_after_h_h1: Hours = 6.0
    stale_after_h_m15: Hours = 2.0
    coverage_min: Share = 0.95
    max_gap_candles: NonNegativeInt = 2
    indicator_days: Annotated[int, Meta(ge=1, le=180)] = 90  # rows kept; half a year of warm-up stays before
    max_disagreements: NonNegativeInt = 5  # bars of a series that contradict its finer bars
    volume_tolerance: NonNegativeFloat = 1e-3  # relative difference of volume between timeframes
    jump_sigmas: PositiveFloat = 25.0  # a warning beyond so many robust sigmas of log return
    zero_volume_candles: PositiveInt = 24  # a warning from so many candles in a row without a trade
    zombie_candles: PositiveInt = 72  # newest H1 (else finest) candles without a trade: excluded
    excluded_max: Share = 0.5  # share of the symbols that may be excluded before the data count as bad
    renames: dict[SymbolName, SymbolName] = field(default_factory=dict)  # OLD = "NEW", as the exchange did

    def stale_after_ms(self, timeframe: Timeframe) -> int:
        """Return the age, in ms, past which the newest closed candle is stale."""
        hours: float = getattr(self, f"stale_after_h_{timeframe.name.lower()}")
        return int(hours * 3_600_000)

    def followed(self, listed: Container[str]) -> tuple[str, ...]:
        """Return the symbols, each once, with the new names of renamed ones that are among `listed`."""
        new_names = (self.renames[old] for old in self.symbols if old in self.renames)
        return tuple(dict.fromkeys((*self.symbols, *(name for name in new_names if name in listed))))

    @property
    def frames(self) -> tuple[Timeframe, ...]:
        return tuple(Timeframe[name] for name in self.timeframes)


class SyncSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The data-sync job."""

    prefer: Literal["weight", "latency"] = "weight"  # pages of 499 candles (cheapest each) or 1500 (fewest)
    refetch_candles: Annotated[int, Meta(ge=0, le=50)] = 2  # newest stored ones asked for with new ones
    full_time_utc: TimeOfDay = "00:30"  # the first run from then on is the day's full pass
    full_refetch_candles: Annotated[int, Meta(ge=0, le=1500)] = 48  # newest stored ones a full pass compares
    hole_settled_days: NonNegativeDays = 7.0  # a hole the exchange confirmed is asked for again until then
    repair_days: Days = 7.0  # what data-validation has fetched again when it fails
    repair_limit_s: WaitLimit = 120.0
    attempts: Attempts = 5
    retry_wait_s: Wait = 5.0
    retry_wait_factor: Annotated[float, Meta(ge=1, le=10)] = 3.0
    retry_jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1

    @property
    def page_limit(self) -> int:
        """Candles asked for in one request."""
        return 499 if self.prefer == "weight" else 1500


class SentimentSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The exchange's funding and statistics, as the sentiment-macro job collects them."""

    period: Literal["5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"] = "1h"  # of the statistics
    publication_lag_s: Annotated[int, Meta(ge=0, le=86_400)] = 300  # known this long after their period
    retry_waits_s: tuple[Wait, ...] = (10.0, 30.0, 60.0)  # before each further attempt; macro too


def _publication_lags() -> dict[str, float]:
    """Return the most days from a value's day to its publication, long weekends included, by series."""
    return {
        "DFF": 5.0,
        "DGS10": 5.0,
        "DGS2": 5.0,
        "T10Y2Y": 5.0,
        "DTWEXBGS": 10.0,
        "VIXCLS": 5.0,
        "SP500": 5.0,
        "CPIAUCSL": 50.0,
        "M2SL": 62.0,
        "WALCL": 3.0,
        "FEAR_GREED": 0.25,
    }


class MacroSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Macro series, as the sentiment-macro job collects them."""

    fred_url: HttpUrl = "https://api.stlouisfed.org"
    fred_key_file: str = ""  # empty: the unit's credential `fred_api_key`
    fred_series: tuple[SeriesName, ...] = DEFAULT_FRED_SERIES
    fred_requests_per_min: PositiveInt = 100  # of the 120 that FRED allows a key
    fear_greed: bool = True
    fear_greed_url: HttpUrl = "https://api.alternative.me"
    connect_timeout_s: Timeout = 5.0
    read_timeout_s: Timeout = 15.0
    # Counted from the start of a value's day, where the source does not tell when it was published.
    publication_lag_d: dict[str, NonNegativeDays] = field(default_factory=_publication_lags)
    publication_lag_other_d: NonNegativeDays = 65.0  # of series not named there


class DatabaseSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """SQLite."""

    cache_mb: Annotated[int, Meta(ge=1, le=1024)] = 10
    busy_timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] = 10_000
    writer_lock_wait_s: WaitLimit = 600.0


class BackupSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The backup and restore-test jobs, and what counts as a good backup."""

    daily_hour_utc: Annotated[int, Meta(ge=0, le=23)] = 2  # the first copy from this hour on is the daily one
    keep_hourly_h: Hours = 24.0
    keep_daily_days: Days = 14.0
    keep_at_least: PositiveInt = 3  # newest good copies that stay however old they are
    max_age_h: Hours = 2.0  # an older newest copy is overdue
    zstd_level: Annotated[int, Meta(ge=1, le=19)] = 2  # half the time of 3, and candles get no smaller by it
    reserve_mb: NonNegativeInt = 200  # free disk that a backup leaves to the others
    settled_after_days: Days = 8.0  # candles of older weeks change only with a record
    min_h4_candles: NonNegativeInt = 1_000  # a restored copy with fewer fails its test
    extra: tuple[str, ...] = ("jobs", "holds", "incidents", "journal", "models")  # below state_dir
    attempts: Attempts = 3
    retry_wait_s: Wait = 10.0


class CompactSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The compact job."""

    free_list_min: Annotated[float, Meta(ge=0, lt=1)] = 0.10  # VACUUM above this share of unused pages
    backup_max_age_h: Hours = 2.0  # refuses without a verified backup at most this old
    free_disk_factor: PositiveFloat = 2.0  # of the database's size


class StrategySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which strategy decides, here and in live trading alike."""

    name: str = "smc"  # an entry point of `futures_agent.strategies`, or `package.module:NAME`
    timeframe: TimeframeName = "H1"
    params: dict[str, Any] = field(default_factory=dict)


class RiskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Sizing, and what keeps positions from being opened; none of it closes one.

    Leverages are notional over the equity of the whole account, unrealised profit and loss included.
    """

    risk_per_trade: Share = 0.01  # of equity, lost when the stop is hit
    fixed_notional: QuoteUnits = 0.0  # per entry; 0 sizes by risk_per_trade
    # At 40x the margin of an entry is no more than its maintenance: it would be liquidated as it opens.
    max_leverage: Leverage = 3.0  # of longs + shorts; also what a position's isolated margin is made of
    # Coins fall together: a gap of 10 % against everything held costs no more than max_drawdown.
    max_net_leverage: Leverage = 1.5  # of longs − shorts
    # Stops closer than 1 % of the price would ask for more; a gap through them costs what the notional does.
    max_position_leverage: Leverage = 1.0  # of one position
    max_positions: PositiveInt = 8
    # With the new one, three that move together: all their stops at once cost max_daily_loss.
    max_correlated: NonNegativeInt = 2  # open positions that may correlate with a new one
    correlation_limit: Share = 0.8  # of returns, signed by the sides; above what most coins share on H1
    correlation_bars: Annotated[int, Meta(ge=10, le=10_000)] = 168  # compared; a week of H1
    max_daily_loss: Share = 0.03  # of the equity at the UTC day's start; no entries for the rest of the day
    max_drawdown: Share = 0.15  # of the highest equity; no entries until a person re-arms
    # The stop lies within 1 − this of the way to liquidation, which slippage and a wick must not reach.
    liquidation_buffer: Annotated[float, Meta(ge=0, lt=1)] = 0.2  # 0: stops may lie anywhere


class CostSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What trading costs."""

    maker_fee_bps: Bps = 2.0
    taker_fee_bps: Bps = 5.0
    slippage_bps: Bps = 1.0  # half the spread
    # Square-root law: daily volatility × √(quantity / daily volume). A coin that moves 5 % a day moves by
    # 5 % / √24 = 1 % for an order as large as an hour's volume.
    impact_bps: Bps = 100.0  # of an order as large as an hour's volume; × √share for a smaller one
    funding: bool = True
    funding_fallback_bps: Bps = 1.0  # longs and shorts pay it per 8 h where no rate was recorded


class GateSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a backtest must reach to count as PASSED."""

    min_trades: NonNegativeInt = 30
    min_profit_factor: NonNegativeFloat = 1.1
    min_sharpe: Annotated[float, Meta(ge=-100, le=100)] = 1.0
    max_drawdown: Share = 0.15
    max_kill_switch_trips: NonNegativeInt = 0  # 1 lets a run pass that ended in idleness


class LiveSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The live trader."""

    mode: Literal["paper", "testnet", "live"] = "paper"
    confirm_live: bool = False  # mode live trades real money only where this says so as well
    anchor_days: Annotated[int, Meta(ge=0, le=3650)] = 365  # how far back the strategy's memory begins
    paper_equity: Annotated[float, Meta(gt=0, le=1e12)] = 10_000.0  # what the paper account begins with
    stream_silence_s: Wait = 10.0  # without any message on a stream: reconnect
    symbol_silence_s: Wait = 30.0  # without a mark price of one subscribed symbol: reconnect
    rotate_h: Hours = 23.0  # a connection is replaced, overlapping, before the exchange ends it at 24 h
    close_backstop_s: Wait = 5.0  # candles not delivered this long after their close are fetched
    decide_within_s: Wait = 120.0  # a close that comes later decides no entry
    reconcile_s: WaitLimit = 180.0  # besides at start and after each reconnect
    unprotected_limit_s: Wait = 5.0  # a position without a confirmed stop is closed at market then
    unknown_limit_s: Wait = 30.0  # an order no query finds for this long, without a trace, was not placed
    unexplained: Literal["adopt", "close"] = "adopt"  # positions that the journal does not explain
    adopt_stop_share: Share = 0.02  # of the mark price: how far the stop of an adopted position lies
    heartbeat_stale_s: WaitLimit = 120.0  # what the heartbeat is made of must be younger
    stop_limit_s: Wait = 25.0  # for orders under way when told to stop
    keep_decisions_days: PositiveInt = 90  # of the decision log; files of older UTC days are removed
    gate_blocks_entries: bool = False  # open nothing while the last backtest has not passed its gate
    key_file: str = ""  # empty: the unit's credential `binance_api_key`
    secret_file: str = ""  # empty: the unit's credential `binance_api_secret`


class BacktestSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The nightly backtest."""

    enabled: bool = True
    days: Annotated[int, Meta(ge=1, le=3650)] = 365
    initial_equity: Annotated[float, Meta(gt=0, le=1e12)] = 10_000.0
    start_time_utc: TimeOfDay = "23:30"
    late_limit_min: PositiveFloat = 10.0  # a timer start later than this is skipped
    keep_results: PositiveInt = 90
    # Whose candles a report carries: about 60 kB per symbol and year of H1, so 4 to 5 MB a report by default.
    report_candles: Literal["all", "traded", "none"] = "all"


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Logging to the journal."""

    level: LogLevel = "INFO"  # written in any case

    def __post_init__(self) -> None:
        force_setattr(self, "level", self.level.upper())  # as Python's logging spells it


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything, as one frozen tree."""

    paths: PathSettings = field(default_factory=PathSettings)
    exchange: ExchangeSettings = field(default_factory=ExchangeSettings)
    data: DataSettings = field(default_factory=DataSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    sentiment: SentimentSettings = field(default_factory=SentimentSettings)
    macro: MacroSettings = field(default_factory=MacroSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    compact: CompactSettings = field(default_factory=CompactSettings)
    strategy: StrategySettings = field(default_factory=StrategySettings)
    risk: RiskSettings = field(default_factory=RiskSettings)
    costs: CostSettings = field(default_factory=CostSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    backtest: BacktestSettings = field(default_factory=BacktestSettings)
    log: LogSettings = field(default_factory=LogSettings)
