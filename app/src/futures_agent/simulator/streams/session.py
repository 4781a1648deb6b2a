"""One client's subscriptions, and the commands by which it changes them."""

from __future__ import annotations

import json
from typing import Any

from futures_agent.simulator.streams.names import Address

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_LONGEST_ID = 36  # characters
_LARGEST_ID = 2**64 - 1


class CommandError(Exception):
    """A command that the exchange cannot follow."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class TooManyStreams(Exception):
    """More subscriptions than one connection may have: it is closed."""


class Session:
    """What one connection is subscribed to.

    Attributes
    ----------
    names : dict of str to int
        Streams by name, and since when (venue time, ms UTC). Any name may be subscribed to: one that means
        nothing, or nothing on this route, is acknowledged and stays silent.
    combined : bool
        Whether messages are wrapped.
    """

    def __init__(self, address: Address, now_ms: int, most_streams: int) -> None:
        self.route = address.route
        self.events = address.events
        self.combined = address.combined
        self.names: dict[str, int] = {}
        self._most = most_streams
        self._subscribe(list(address.names), now_ms)

    def reply(self, text: str, now_ms: int) -> str:
        """Follow a command and return the exchange's answer.

        Raises
        ------
        TooManyStreams
            It would exceed what a connection may have.
        """
        number: int | str | None = None
        try:
            command = _parsed(text)
            number = _id_of(command)
            answer: dict[str, Any] = {"result": self._follow(command, now_ms), "id": number}
        except CommandError as error:
            answer = {"error": {"code": error.code, "msg": str(error)}}
            if number is not None:
                answer["id"] = number
        return json.dumps(answer, separators=(",", ":"), ensure_ascii=False)

    def _follow(self, command: dict[str, Any], now_ms: int) -> Any:
        method, params = command["method"], command.get("params", [])
        if not isinstance(params, list):
            raise CommandError(2, "Invalid request: params must be an array")
        if method == "LIST_SUBSCRIPTIONS":
            return list(self.names)
        if method == "SUBSCRIBE":
            return self._subscribe(_texts(params), now_ms)
        if method == "UNSUBSCRIBE":
            for name in _texts(params):
                self.names.pop(name, None)
            return None
        return self._property(method, params)

    def _subscribe(self, names: list[str], now_ms: int) -> None:
        for name in names:
            self.names.setdefault(name, now_ms)
        if len(self.names) > self._most:
            raise TooManyStreams(f"more than {self._most} streams on one connection")

    def _property(self, method: str, params: list[Any]) -> Any:
        wanted = 2 if method == "SET_PROPERTY" else 1
        if len(params) > wanted:
            raise CommandError(2, "Invalid request: too many parameters")
        if not params or not isinstance(params[0], str):
            raise CommandError(2, "Invalid request: property name must be a string")
        if params[0] != "combined":
            raise CommandError(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(params) < wanted or not isinstance(params[1], bool):
            raise CommandError(1, "Invalid value type: expected Boolean")
        self.combined = params[1]
        return None


def _parsed(text: str) -> dict[str, Any]:
    try:
        command = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        place = f"expected value at line {line} column {column}"
        raise CommandError(3, f"Invalid JSON: {place}") from None
    if not isinstance(command, dict) or "method" not in command:
        raise CommandError(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    if command["method"] not in _METHODS:
        known = ", ".join(f"`{method}`" for method in _METHODS)
        raise CommandError(
            2, f"Invalid request: unknown variant `{command['method']}`, expected one of {known}"
        )
    return command


def _id_of(command: dict[str, Any]) -> int | str | None:
    """Return the id, a number by the documentation; the exchange's own clients send texts."""
    told = command.get("id")
    if told is None or (type(told) is int and 0 <= told <= _LARGEST_ID):
        return told
    if isinstance(told, str) and len(told) <= _LONGEST_ID:
        return told
    raise CommandError(2, "Invalid request: request ID must be an unsigned integer")


def _texts(params: list[Any]) -> list[str]:
    if not all(isinstance(name, str) for name in params):
        raise CommandError(2, "Invalid request: stream names must be strings")
    return params
