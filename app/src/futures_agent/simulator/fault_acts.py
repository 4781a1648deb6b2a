"""What befalls contracts, accounts and connections at a time that a plan of faults sets."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from futures_agent.errors import AgentError, Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.fault_plan import Act, Entry
from futures_agent.simulator.jump import JumpedCandles
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.account import Account, Restriction
from futures_agent.simulator.trading.records import OrderRequest

if TYPE_CHECKING:
    from futures_agent.simulator.venue import Venue


class VenueAct(Act, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An act on a venue, whose lock is held, and whose exchange has come as far as the act's time."""

    def do(self, venue: Venue) -> None:
        """Let it happen.

        Raises
        ------
        VenueError, Refuse
            It cannot: there is no such contract, account or position.
        """
        raise NotImplementedError


class ContractStatus(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a contract changes: TRADING_HALT, TRADING, SETTLING (which closes positions), …"""

    how: Literal["contract status"] = "contract status"
    symbol: str
    status: Annotated[str, Meta(min_length=1)] = "TRADING_HALT"

    def do(self, venue: Venue) -> None:
        venue.exchange.set_status(self.symbol, self.status, venue.exchange.now_ms)


class GridChange(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tick of a contract, or the step of its quantities, becomes 10**-decimals; precisions stay."""

    how: Literal["tick size", "step size"]
    symbol: str
    decimals: Annotated[int, Meta(ge=0, le=8)]

    def do(self, venue: Venue) -> None:
        venue.exchange.status(self.symbol)
        listing = venue.market.listings[self.symbol]
        if self.how == "tick size":
            changed = replace(
                listing,
                grid=replace(listing.grid, price=self.decimals),
                price_precision=max(self.decimals, listing.price_precision),
            )
        else:
            changed = replace(
                listing,
                grid=replace(listing.grid, volume=self.decimals),
                quantity_precision=max(self.decimals, listing.quantity_decimals),
            )
        venue.market.listings[self.symbol] = changed


class ContractLimits(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of a contract that exchangeInfo tells become others; those not told stay."""

    how: Literal["contract limits"] = "contract limits"
    symbol: str
    max_orders: Annotated[int, Meta(ge=1)] | None = None
    max_amendments: Annotated[int, Meta(ge=0)] | None = None
    market_take_bound: Decimal | None = None
    trigger_protect: Decimal | None = None
    liquidation_fee: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("market_take_bound", "trigger_protect", "liquidation_fee"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ValueError(f"`{name}` {share} is a share, at least 0 and below 1")

    def do(self, venue: Venue) -> None:
        venue.exchange.status(self.symbol)
        names = ("max_orders", "max_amendments", "market_take_bound", "trigger_protect", "liquidation_fee")
        told = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        venue.market.listings[self.symbol] = replace(venue.market.listings[self.symbol], **told)


class AccountRestricted(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account may only reduce what it holds, in one contract or all (empty), for a while or until lifted.

    Attributes
    ----------
    how : str
        `reduce only`: orders that are not bound to reduce are refused with `code`; with -4107 only those
        that would enlarge a position. `cooling off`: the same with -4192. `unrestricted` lifts either.
    """

    how: Literal["reduce only", "cooling off", "unrestricted"]
    key: str = ""
    symbol: str = ""
    code: Literal[-4401, -4400, -4189, -4107, -4106, -4105] = -4401
    until_ms: int | None = None

    def do(self, venue: Venue) -> None:
        if self.symbol:
            venue.exchange.status(self.symbol)
        restriction = None
        if self.how != "unrestricted":
            restriction = Restriction(-4192 if self.how == "cooling off" else self.code, self.until_ms)
        account = account_of(venue, self.key)
        venue.exchange.restrict(account, self.symbol, restriction, venue.exchange.now_ms)


class FundingInterval(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From the next full hour on, funding is paid every so many hours."""

    how: Literal["funding interval"] = "funding interval"
    symbol: str
    hours: Literal[1, 2, 4, 8]

    def do(self, venue: Venue) -> None:
        venue.exchange.status(self.symbol)
        venue.sentiment.change_interval(self.symbol, self.hours, venue.exchange.now_ms)


class MarkOffset(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mark price runs away from the last price by `share` of it (< 0: below; 0: comes back)."""

    how: Literal["mark offset"] = "mark offset"
    symbol: str
    share: Decimal

    def __post_init__(self) -> None:
        _check_share(self.share)

    def do(self, venue: Venue) -> None:
        venue.exchange.status(self.symbol)
        venue.exchange.state.prices.mark_offset[self.symbol] = self.share


class PriceJump(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next candle of an hour opens with a gap: all prices from there on are off by `share` of them."""

    how: Literal["price jump"] = "price jump"
    symbol: str
    share: Decimal

    def __post_init__(self) -> None:
        _check_share(self.share)

    def do(self, venue: Venue) -> None:
        venue.exchange.status(self.symbol)
        grid = venue.market.listings[self.symbol].grid
        from_ms = Timeframe.H1.open_of(venue.exchange.now_ms) + Timeframe.H1.ms
        factor = float(1 + self.share)
        venue.market.change_source(lambda source: JumpedCandles(source, self.symbol, from_ms, factor, grid))


class ForcedClose(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position is taken away at the mark price, by `liquidation` or by auto-`deleveraging`."""

    how: Literal["liquidation", "deleveraging"]
    key: str = ""
    symbol: str
    position_side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"

    def do(self, venue: Venue) -> None:
        account = account_of(venue, self.key)
        close = venue.exchange.liquidate if self.how == "liquidation" else venue.exchange.deleverage
        close(account, self.symbol, venue.exchange.now_ms, position_side=self.position_side)


class ForeignOrder(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order of the account that its client knows nothing of, as from a phone, or before its restart."""

    how: Literal["foreign order"] = "foreign order"
    key: str = ""
    symbol: str
    side: Literal["BUY", "SELL"]
    quantity: Decimal
    price: Decimal | None = None  # None: at market
    position_side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
    client_order_id: str = ""

    def do(self, venue: Venue) -> None:
        request = OrderRequest(
            symbol=self.symbol,
            side=self.side,
            type="MARKET" if self.price is None else "LIMIT",
            quantity=self.quantity,
            price=self.price or Decimal(0),
            position_side=self.position_side,
            client_order_id=self.client_order_id,
        )
        venue.exchange.place(account_of(venue, self.key), request, venue.exchange.now_ms)


class ListenKeyExpired(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The listen key of an account dies, with listenKeyExpired as its last event unless not `announced`."""

    how: Literal["listen key expired"] = "listen key expired"
    key: str = ""
    announced: bool = True

    def do(self, venue: Venue) -> None:
        account = account_of(venue, self.key)
        if not account.listen_key:
            raise Refuse(f"{account.key} has no listen key that could expire")
        end = venue.exchange.expire_listen_key if self.announced else venue.exchange.close_listen_key
        end(account, venue.exchange.now_ms)


class ConnectionsLost(VenueAct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every stream connection of a route (all: empty) fails.

    Attributes
    ----------
    how : str
        `streams closed`: torn; `streams ended`: closed as after 24 hours; `streams silent`: alive, but no
        message comes any more; `streams half-open`: nothing is sent or read, not even a pong.
    """

    how: Literal["streams closed", "streams ended", "streams silent", "streams half-open"]
    route: Literal["", "public", "market", "private"] = ""

    def do(self, venue: Venue) -> None:
        if not venue.streams.disturb(self.how.removeprefix("streams "), self.route):
            raise Refuse(f"no connection of the route {self.route or 'any'} is open")


def _check_share(share: Decimal) -> None:
    if not -1 < share <= 10:
        raise ValueError(f"`share` {share} must lie above -1 and not above 10")


def account_of(venue: Venue, key: str) -> Account:
    """Return the account of an API key, the first one for an empty key.

    Raises
    ------
    Refuse
        There is none.
    """
    account = venue.exchange.account_of(key) if key else next(iter(venue.exchange.accounts), None)
    if account is None:
        raise Refuse(f"no account has the key {key!r}; `agentctl simulator --help` tells how to make one")
    return account


def perform(venue: Venue, entry: Entry) -> None:
    """Let the act of `entry` happen, and note what came of it."""
    try:
        assert isinstance(entry.fault, VenueAct)
        entry.fault.do(venue)
    except (VenueError, AgentError) as error:
        entry.note = str(error)
    else:
        entry.engaged += 1
