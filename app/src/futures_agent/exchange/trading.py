"""Trading at the exchange: its orders, conditional orders and account, in the words of `orders`.

An answer says what is certain and no more: an order without an answer is UNKNOWN, never failed, and is
queried by the desk. Sources: Binance USDⓈ-M "Trade", "Algo order" and "Error Codes" REST pages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from futures_agent.errors import AgentError, Retry
from futures_agent.exchange import history
from futures_agent.exchange.account_payloads import (
    balances_in,
    order_in,
    orders_in,
    positions_in,
    stop_in,
    stops_in,
)
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.exchange.orders import (
    Answer,
    Cancel,
    CancelStop,
    FillSeen,
    FundingSeen,
    OrderSeen,
    PlaceMarket,
    PlaceStop,
    PlaceTarget,
    QueryOrder,
    QueryStop,
    Request,
    Seen,
    Snapshot,
    StopSeen,
)
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.signed import SignedClient
from futures_agent.exchange.signing import Signer, Value
from futures_agent.exchange.streams.stream import OnStream
from futures_agent.exchange.streams.user import UserStream
from futures_agent.exchange.terms import adopt_order_limits, require_account, unfit_symbols
from futures_agent.exchange.transport import Reply
from futures_agent.settings.tree import ExchangeSettings

MARGIN_ASSET = "USDT"
_ORDER, _ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_NOT_OPEN = -2011  # cancelling what is not open, or not there
_DUPLICATE = -4116  # an open order has this client id: the first send arrived
_ABSENT = -2013


class ExchangeBroker:
    """The account of one API key; a `live.broker.Broker`. Safe for concurrent threads.

    Parameters
    ----------
    settings : ExchangeSettings
    state_dir : Path
        What the host's programs share about the exchange (`settings.paths.exchange_state`).
    key, secret : str
        HMAC key of the exchange.
    testnet : bool
        Whether the key belongs to the exchange's Demo Trading; told in refusals.
    on_seen, on_stream, rotate_h
        Of the user stream, see `UserStream`; it begins with the first `prepare` that succeeds. Each time
        it is up again, what happened meanwhile has to be asked for.

    Attributes
    ----------
    clock : ExchangeClock
    unfit : dict of str to str
        Symbols whose terms could not be set, and why; no position is opened in them.

    Raises
    ------
    Refuse
        As `ReadingClient`; or the key cannot be one.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        state_dir: Path,
        key: str,
        secret: str,
        *,
        testnet: bool,
        on_seen: Callable[[Seen], None],
        on_stream: OnStream,
        rotate_h: float = 23.0,
    ) -> None:
        self._client = SignedClient(settings, state_dir, Signer(key, secret))
        self._testnet = testnet
        self._stream = UserStream(settings.stream_url, self._client, rotate_h, on_seen, on_stream)
        self._starting = threading.Lock()
        self._started = False
        self.unfit: dict[str, str] = {}

    @property
    def clock(self) -> ExchangeClock:
        """The exchange's clock."""
        return self._client.clock

    def prepare(self, symbols: Sequence[str], leverage: int) -> None:
        """Make sure of permissions, one-way mode, isolated margin and `leverage`; repeatable.

        A symbol that cannot be set, such as one with a position of other terms, is no error: it is named
        in `unfit`, its position can be protected and closed, and none is opened in it.

        Raises
        ------
        Refuse
            The account cannot be used: key, permissions, mode.
        Retry
            No answer.
        """
        require_account(self._client, testnet=self._testnet)
        adopt_order_limits(self._client)
        self.unfit = unfit_symbols(self._client, symbols, leverage)
        with self._starting:
            if not self._started:
                self._stream.start()
            self._started = True

    def sync_clock(self) -> None:
        """Ask the exchange for its time (Retry: no answer)."""
        self._client.sync_clock()

    def send(self, request: Request) -> Answer:
        """Send one request, once, and return what became of it; never an error.

        Beyond what the exchange answers: a client id that is taken (-4116) is OK, as the first send
        arrived. Cancelling what is not open (-2011) is OK once a query shows the order, not open, and
        UNKNOWN where it shows it open or nobody answers. `seen` is None in answers to `CancelStop`, where
        the exchange shows nothing. An absent order is REJECTED with -2013, which proves nothing yet: the
        exchange's store lags.
        """
        match request:
            case PlaceMarket() | PlaceTarget() | PlaceStop():
                return self._place(request)
            case Cancel() | CancelStop():
                return self._cancel(request)
            case QueryOrder() | QueryStop():
                return self._query(request)
            case _:
                assert_never(request)

    def snapshot(self) -> Snapshot:
        """Return positions, open orders, open conditional orders and the wallet.

        Raises
        ------
        Refuse
            The key is not accepted any more.
        Retry
            No answer, one that cannot be read whole, or a position that is not of one-way mode.
        """
        self._client.keep_clock()
        taken_ms = self.clock.now_ms()
        positions = positions_in(self._client.data("/fapi/v3/positionRisk", {}, 5))
        orders = orders_in(self._client.data("/fapi/v1/openOrders", {}, 40))
        stops = stops_in(self._client.data("/fapi/v1/openAlgoOrders", {}, 40))
        balances = balances_in(self._client.data("/fapi/v3/balance", {}, 5))
        wallet = next((each for each in balances if each.asset == MARGIN_ASSET), None)
        if wallet is None:  # the exchange lists every asset; an equity of nothing would stop all trading
            raise Retry(f"the balances of the account lack {MARGIN_ASSET}; not used")
        return Snapshot(taken_ms=taken_ms, positions=positions, orders=orders, stops=stops, wallet=wallet)

    def fills_since(self, symbol: str, since_ms: int) -> list[FillSeen]:
        """Return the account's fills of `symbol` from `since_ms` on, oldest first; three months at most.

        Raises
        ------
        Refuse, Retry
            As `snapshot`.
        """
        return history.fills_since(self._client, symbol, since_ms)

    def funding_since(self, since_ms: int) -> list[FundingSeen]:
        """Return the funding payments from `since_ms` on, oldest first; three months at most.

        Raises
        ------
        Refuse, Retry
            As `snapshot`.
        """
        return history.funding_since(self._client, since_ms)

    def close(self) -> None:
        """End connections and threads; requests under way count as unanswered."""
        self._client.close()
        self._stream.close()

    def _place(self, request: PlaceMarket | PlaceTarget | PlaceStop) -> Answer:
        if isinstance(request, PlaceMarket) and not request.reduce_only and request.symbol in self.unfit:
            why = self.unfit[request.symbol]
            return Answer(request=request, outcome=Outcome.REJECTED, message=f"not sent: {why}")
        self._stream.expect(request.client_id)  # which may tell before the answer is here
        if isinstance(request, PlaceStop):
            reply = self._client.change("POST", _ALGO, _stop_terms(request), 0, order=True)
        else:
            reply = self._client.change("POST", _ORDER, _order_terms(request), 0, order=True)
        if reply.outcome is Outcome.OK:
            self._stream.expect_now(request.client_id)
        else:
            self._stream.expect_no_more(request.client_id)
        if reply.code == _DUPLICATE:
            found = self._query_of(request)
            return _answer(request, reply, Outcome.OK, found.seen)
        return _told(request, reply, stop_in if isinstance(request, PlaceStop) else order_in)

    def _cancel(self, request: Cancel | CancelStop) -> Answer:
        if isinstance(request, CancelStop):
            reply = self._client.change("DELETE", _ALGO, {"clientAlgoId": request.client_id}, 1)
        else:
            params = {"symbol": request.symbol, "origClientOrderId": request.client_id}
            reply = self._client.change("DELETE", _ORDER, params, 1)
        if reply.code == _NOT_OPEN:
            found = self._query_of(request)
            if found.code == _ABSENT:
                return _answer(request, reply, Outcome.REJECTED)
            done = found.seen is not None and not found.seen.is_open
            return _answer(request, reply, Outcome.OK if done else Outcome.UNKNOWN, found.seen)
        if isinstance(request, CancelStop):
            return _answer(request, reply, reply.outcome)
        return _told(request, reply, order_in)

    def _query_of(self, request: PlaceMarket | PlaceTarget | PlaceStop | Cancel | CancelStop) -> Answer:
        if isinstance(request, PlaceStop | CancelStop):
            return self._query(QueryStop(symbol=request.symbol, client_id=request.client_id))
        return self._query(QueryOrder(symbol=request.symbol, client_id=request.client_id))

    def _query(self, request: QueryOrder | QueryStop) -> Answer:
        try:
            if isinstance(request, QueryStop):
                return self._query_stop(request)
            params = {"symbol": request.symbol, "origClientOrderId": request.client_id}
            reply = self._client.read(_ORDER, params, 1)
            seen = order_in(reply) if reply.outcome is Outcome.OK else None
        except AgentError as error:
            return Answer(request=request, outcome=Outcome.NOT_EXECUTED, message=str(error))
        return _answer(request, reply, reply.outcome, seen)

    def _query_stop(self, request: QueryStop) -> Answer:
        """Look among the open ones first: a query by id was seen to miss orders that this list shows."""
        reply = self._client.data("/fapi/v1/openAlgoOrders", {"symbol": request.symbol}, 1)
        seen = _named(request.client_id, stops_in(reply))
        if seen is None:
            reply = self._client.read(_ALGO, {"clientAlgoId": request.client_id}, 1)
            if reply.outcome is Outcome.OK:
                seen = stop_in(reply)
            elif reply.code == _ABSENT:
                listed = self._client.data("/fapi/v1/allAlgoOrders", {"symbol": request.symbol}, 5)
                seen = _named(request.client_id, stops_in(listed))
                reply = reply if seen is None else listed
        return _answer(request, reply, reply.outcome, seen)


def _order_terms(request: PlaceMarket | PlaceTarget) -> dict[str, Value]:
    terms: dict[str, Value] = {
        "symbol": request.symbol,
        "side": _side(request.side),
        "type": "MARKET",
        "quantity": request.quantity,
        "newClientOrderId": request.client_id,
        "newOrderRespType": "RESULT",
    }
    if isinstance(request, PlaceTarget):
        return terms | {"type": "LIMIT", "timeInForce": "GTC", "price": request.price, "reduceOnly": True}
    return terms | {"reduceOnly": True} if request.reduce_only else terms


def _stop_terms(request: PlaceStop) -> dict[str, Value]:
    return {
        "algoType": "CONDITIONAL",
        "symbol": request.symbol,
        "side": _side(request.side),
        "type": "STOP_MARKET",
        "triggerPrice": request.trigger_price,
        "workingType": "CONTRACT_PRICE",
        "closePosition": True,
        "clientAlgoId": request.client_id,
    }


def _side(side: int) -> str:
    return "BUY" if side > 0 else "SELL"


def _named(client_id: str, stops: Sequence[StopSeen]) -> StopSeen | None:
    """Return the newest conditional order of that client id."""
    return next((stop for stop in reversed(stops) if stop.client_id == client_id), None)


def _told(request: Request, reply: Reply, read: Callable[[Reply], OrderSeen | StopSeen]) -> Answer:
    """Return the answer to a request whose good answers show the order."""
    if reply.outcome is not Outcome.OK:
        return _answer(request, reply, reply.outcome)
    try:
        return _answer(request, reply, Outcome.OK, read(reply))
    except Retry as error:  # done, it seems; by whose word?
        return Answer(request=request, outcome=Outcome.UNKNOWN, message=str(error))


def _answer(
    request: Request, reply: Reply, outcome: Outcome, seen: OrderSeen | StopSeen | None = None
) -> Answer:
    message = reply.message
    if reply.status not in (0, 200) and reply.code is None:
        message = f"HTTP {reply.status} {message}".rstrip()
    return Answer(request=request, outcome=outcome, code=reply.code, message=message, seen=seen)
