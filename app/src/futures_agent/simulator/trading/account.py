"""One account: who may use it, what it holds, and its orders."""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.records import ZERO, AlgoOrder, Fill, Income, Order, Position


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
    orders, algos : dict
        By (symbol, order id), and by algo id; closed ones stay until they are forgotten (see `retention`).
    open_orders, open_algos : dict
        Those of them that are open, in the order of their arrival.
    fills, incomes : list
        Oldest first, without those that are forgotten.
    fills_in_all : int
        Those among them that are forgotten.
    countdowns : dict of symbol to ms UTC
        When countdownCancelAll strikes.
    """

    def __init__(self, account_id: int, config: AccountConfig) -> None:
        self.account_id = account_id
        self.config = config
        self.can_trade = config.can_trade
        self.dual_side = config.dual_side
        self.wallets: dict[str, Decimal] = {}
        self.wallet_changed_ms: dict[str, int] = {}
        self.positions: dict[tuple[str, str], Position] = {}
        self.orders: dict[tuple[str, int], Order] = {}
        self.open_orders: dict[tuple[str, int], Order] = {}
        self.algos: dict[int, AlgoOrder] = {}
        self.open_algos: dict[int, AlgoOrder] = {}
        self.fills: list[Fill] = []
        self.fills_in_all = 0
        self.incomes: list[Income] = []
        self.countdowns: dict[str, int] = {}
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

    def orders_of(self, symbol: str, side: str | None = None) -> list[Order]:
        """Return the open orders of `symbol`, of one position side or all, oldest first."""
        orders = (order for order in self.open_orders.values() if order.symbol == symbol)
        return [order for order in orders if side in (None, order.position_side)]

    def algos_of(self, symbol: str) -> list[AlgoOrder]:
        """Return the open conditional orders of `symbol`, oldest first."""
        return [algo for algo in self.open_algos.values() if algo.symbol == symbol]
