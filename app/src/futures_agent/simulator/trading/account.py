"""One account: who may use it, what it holds, and its orders."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.records import ZERO, AlgoOrder, Fill, Income, Order, Position
from futures_agent.simulator.trading.shelf import Shelf


class Restriction(NamedTuple):
    """Why an account may only reduce what it holds: the code of the refusal, and until when, ms UTC."""

    code: int
    until_ms: int | None = None  # None: until it is lifted


class Account:
    """The state of one account; only the exchange changes it.

    Attributes
    ----------
    account_id : int
        Numbered from 1 in the order of the configuration.
    config : AccountConfig
        Keys, permissions and what it began with.
    wallets : dict of asset to Decimal
        Wallet balances: deposits + realised PnL − fees + funding; unrealised PnL is not in them.
    wallet_changed_ms : dict of asset to ms UTC
        When each last changed.
    positions : dict of (symbol, position side) to Position
        Flat ones may be among them.
    orders, algos : Shelf
        By (symbol, order id), and by algo id; closed ones stay until they are forgotten (see `retention`).
    open_orders, open_algos : Shelf
        Those of them that are open, in the order of their arrival.
    fills, incomes : list
        Oldest first, without those that are forgotten.
    fills_in_all : int
        Those among them that are forgotten.
    countdowns : dict of symbol to ms UTC
        When countdownCancelAll strikes.
    restrictions : dict of symbol to Restriction
        Where it may only reduce; an empty symbol stands for every contract.
    """

    def __init__(self, account_id: int, config: AccountConfig) -> None:
        self.account_id = account_id
        self.config = config
        self.can_trade = config.can_trade
        self.dual_side = config.dual_side
        self.wallets: dict[str, Decimal] = {}
        self.wallet_changed_ms: dict[str, int] = {}
        self.positions: dict[tuple[str, str], Position] = {}
        self.orders: Shelf[tuple[str, int], Order] = Shelf()
        self.open_orders: Shelf[tuple[str, int], Order] = Shelf()
        self.algos: Shelf[int, AlgoOrder] = Shelf()
        self.open_algos: Shelf[int, AlgoOrder] = Shelf()
        self.fills: list[Fill] = []
        self.fills_in_all = 0
        self.incomes: list[Income] = []
        self.countdowns: dict[str, int] = {}
        self.restrictions: dict[str, Restriction] = {}
        self.listen_key = ""
        self.listen_key_expires_ms = 0
        self._leverage: dict[str, int] = {}
        self._margin_type: dict[str, str] = {}
        self._changed_ms: dict[str, int] = {}

    @property
    def key(self) -> str:
        """The API key."""
        return self.config.key

    def leverage(self, symbol: str) -> int:
        return self._leverage.get(symbol, self.config.leverage)

    def set_leverage(self, symbol: str, leverage: int) -> None:
        self._leverage[symbol] = leverage

    def margin_type(self, symbol: str) -> str:
        """Return CROSSED or ISOLATED."""
        return self._margin_type.get(symbol, self.config.margin_type)

    def set_margin_type(self, symbol: str, margin_type: str) -> None:
        self._margin_type[symbol] = margin_type

    def wallet(self, asset: str) -> Decimal:
        return self.wallets.get(asset, ZERO)

    def position(self, symbol: str, side: str = "BOTH") -> Position:
        """Return the position, made flat where there was none."""
        return self.positions.setdefault((symbol, side), Position(symbol=symbol, side=side))

    def held(self) -> list[Position]:
        """Return the positions that are not flat."""
        return [position for position in self.positions.values() if position.amount]

    def restriction(self, symbol: str, now_ms: int) -> Restriction | None:
        """Return what keeps the account from opening positions in `symbol` at `now_ms` (ms UTC)."""
        for each in (self.restrictions.get(symbol), self.restrictions.get("")):
            if each is not None and (each.until_ms is None or now_ms < each.until_ms):
                return each
        return None

    def orders_of(self, symbol: str, side: str | None = None) -> list[Order]:
        """Return the open orders of `symbol`, of one position side or all, oldest first."""
        orders = self.open_orders.of(symbol)
        return [order for order in orders if side in (None, order.position_side)]

    def algos_of(self, symbol: str) -> list[AlgoOrder]:
        """Return the open conditional orders of `symbol`, oldest first."""
        return self.open_algos.of(symbol)
