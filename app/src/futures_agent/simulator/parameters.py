"""The parameters of a request: where they may stand, and what each may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from sys import intern
from urllib.parse import parse_qsl

from futures_agent.simulator.refusal import refusal

CLIENT_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_DECIMAL = r"^-?([0-9]{1,20})(\.[0-9]{1,20})?$"
_WHOLE = r"^[0-9]{1,18}$"
_LONGEST_CLIENT_ID = 36
# Every parameter that some endpoint of the exchange knows; any other one is unknown rather than unread.
_KNOWN = frozenset(
    "symbol symbols pair side type positionSide timeInForce quantity price reduceOnly newClientOrderId "
    "newOrderRespType priceMatch selfTradePreventionMode goodTillDate orderId origClientOrderId modifyId "
    "orderIdList origClientOrderIdList batchOrders countdownTime startTime endTime fromId limit page "
    "algoType algoId clientAlgoId clientAlgoIdList triggerPrice stopPrice workingType closePosition "
    "priceProtect activatePrice activationPrice callbackRate icebergQuantity leverage marginType amount "
    "dualSidePosition multiAssetsMargin feeBurn incomeType autoCloseType asset interval period "
    "contractType listenKey timestamp recvWindow signature".split()
)


class Parameters(Mapping[str, str]):
    """Parameters of one request, from its query and its body; the query wins.

    Parameters
    ----------
    query, body : str
        Percent-encoded, as they were sent.

    Raises
    ------
    VenueError
        -1101 where a part sends one parameter twice, -1013 where one is not UTF-8.
    """

    def __init__(self, query: str = "", body: str = "") -> None:
        try:
            parts = [parse_qsl(part, keep_blank_values=True, errors="strict") for part in (query, body)]
        except UnicodeDecodeError:
            raise refusal(-1013) from None
        for pairs in parts:
            if len(dict(pairs)) < len(pairs):
                raise refusal(-1101)
        # Orders keep what is told here, for long, and most of it is told again and again.
        self._values = {name: intern(value) for pairs in reversed(parts) for name, value in pairs}

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Parameters:
        """Return parameters that were not sent on their own, such as those of one order of a batch."""
        parameters = cls()
        parameters._values = dict(values)
        return parameters

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def check_names(self, names: Collection[str]) -> None:
        """Refuse parameters that are not among `names`.

        Raises
        ------
        VenueError
            -1103 for one that the exchange does not know anywhere, -1104 for one it knows elsewhere.
        """
        unread = self._values.keys() - names
        if unread - _KNOWN:
            raise refusal(-1103)
        if unread:
            raise refusal(-1104, len(self._values) - len(unread), len(self._values))

    def forbid(self, *names: str) -> None:
        """Refuse parameters that go ill with others.

        Raises
        ------
        VenueError
            -1106 for the first of `names` that was sent.
        """
        for name in names:
            if self.get(name) is not None:
                raise refusal(-1106, name)

    def text(self, name: str) -> str | None:
        """Return a parameter, None where it was not sent.

        Raises
        ------
        VenueError
            -1105 when it is empty.
        """
        value = self.get(name)
        if value == "":
            raise refusal(-1105, name)
        return value

    def needed(self, name: str) -> str:
        """Return a parameter that must be there.

        Raises
        ------
        VenueError
            -1102 when it is missing or empty.
        """
        value = self.get(name)
        if not value:
            raise refusal(-1102, name)
        return value

    def choice(self, name: str, options: Collection[str], default: str, code: int = -1130) -> str:
        """Return a parameter that is one of `options`, `default` where it was not sent.

        Raises
        ------
        VenueError
            -1105 when it is empty, `code` when it is none of them.
        """
        value = self.text(name)
        if value is None:
            return default
        if value not in options:
            raise refusal(code, name)
        return value

    def flag(self, name: str, code: int = -1130) -> bool | None:
        """Return true or false, None where it was not sent.

        Raises
        ------
        VenueError
            -1105 when it is empty, `code` when it is neither.
        """
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise refusal(code, name)
        return value.lower() == "true"

    def whole(self, name: str) -> int | None:
        """Return a number without sign and fraction, None where it was not sent.

        Raises
        ------
        VenueError
            -1105 when it is empty, -1100 when it is something else.
        """
        value = self._matching(name, _WHOLE)
        return None if value is None else int(value)

    def decimal(self, name: str) -> Decimal | None:
        """Return a number in plain decimal notation, None where it was not sent; `1e-05` is refused.

        Raises
        ------
        VenueError
            -1105 when it is empty, -1100 when it is something else.
        """
        value = self._matching(name, _DECIMAL)
        return None if value is None else Decimal(value)

    def client_id(self, name: str) -> str | None:
        """Return a client's own order id, None where it was not sent.

        Raises
        ------
        VenueError
            -4015 when it is too long, -1100 when it holds other characters, -1105 when it is empty.
        """
        value = self.text(name)
        if value is not None and len(value) > _LONGEST_CLIENT_ID:
            raise refusal(-4015)
        return self._matching(name, CLIENT_ID)

    def listed(self, name: str) -> list[object] | None:
        """Return a list written as JSON, None where it was not sent.

        Raises
        ------
        VenueError
            -1105 when it is empty, -1130 when it is no JSON list.
        """
        value = self.text(name)
        if value is None:
            return None
        try:
            items = json.loads(value)
        except (ValueError, RecursionError):
            items = None
        if not isinstance(items, list):
            raise refusal(-1130, name)
        return items

    def _matching(self, name: str, pattern: str) -> str | None:
        value = self.text(name)
        if value is not None and not re.fullmatch(pattern, value):
            raise refusal(-1100, name, pattern)
        return value
