"""What the trading side of a simulator is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from futures_agent.market.timeframe import Timeframe


class AccountConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account as it is when the venue opens.

    Attributes
    ----------
    key, secret : str
        API key and HMAC secret; `public_key` (PEM), where given, verifies RSA and Ed25519 signatures.
    balances : mapping of asset to amount
    can_trade : bool
        Whether the key may place and cancel orders; reading is always allowed.
    """

    key: str
    secret: str = ""
    public_key: str = ""
    balances: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(5000)})
    can_trade: bool = True
    can_withdraw: bool = False
    dual_side: bool = False
    leverage: Annotated[int, Meta(ge=1, le=125)] = 20
    margin_type: Literal["CROSSED", "ISOLATED"] = "CROSSED"


DEMO_ACCOUNT = AccountConfig(key="demo", secret="demo-secret")


class TradingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How orders are filled and what that costs.

    Attributes
    ----------
    path : str
        `bar`: stops and targets are judged by the finished candle of `timeframe`, as the backtest does,
        and an order at market fills at the open of the candle it arrives with. `ticks`: prices run
        through the finest candles, and orders trade as they come by; a limit order trades at once where
        it reaches the book's best price (`book`). Either way a conditional order triggers when its price
        is touched, a resting one fills when its price is traded through.
    timeframe : Timeframe
        Whose candles `path="bar"` judges by, and whose volume slippage follows from.
    open_window_ms : int
        With `path="bar"` the price stands at a candle's open for that long.
    tick_ms : int
        With `path="ticks"` the longest stretch of one symbol's path that is walked before another's.
    half_spread, impact : Decimal
        Shares of the price; see `execution.slippage`.
    trigger_delay_ms : pair of int
        Least and most time a triggered conditional order takes to the order book, with `path="ticks"`.
    brackets : mapping of symbol to rows, optional
        Leverage brackets of some symbols, rows as in leverage_brackets.json; others keep the usual ones.
    """

    accounts: tuple[AccountConfig, ...] = (DEMO_ACCOUNT,)
    path: Literal["bar", "ticks"] = "ticks"
    timeframe: Timeframe = Timeframe.H1
    open_window_ms: Annotated[int, Meta(ge=0, le=60_000)] = 1_000
    tick_ms: Annotated[int, Meta(ge=100, le=3_600_000)] = 60_000
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    half_spread: Decimal = Decimal("0.0001")
    impact: Decimal = Decimal("0.01")
    trigger_delay_ms: tuple[int, int] = (5, 50)
    listen_key_ms: Annotated[int, Meta(ge=60_000)] = 3_600_000  # how long one is good for, unless it is used
    max_algo_orders: Annotated[int, Meta(ge=1)] = 200  # open ones of an account, over all symbols
    brackets: dict[str, tuple[tuple[Decimal, ...], ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("maker_fee", "taker_fee", "half_spread", "impact"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is not in [0, 1)")
