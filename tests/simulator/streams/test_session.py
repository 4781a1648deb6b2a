from __future__ import annotations

import json
from typing import Any

import pytest

from futures_agent.simulator.streams.names import Address, Route
from futures_agent.simulator.streams.session import Session, TooManyStreams


def session(*names: str, combined: bool = False, most: int = 5) -> Session:
    return Session(Address(Route.MARKET, combined, names), 1_000, most)


def reply(to: Session, command: Any, now_ms: int = 2_000) -> Any:
    return json.loads(to.reply(json.dumps(command), now_ms))


def test_subscriptions_come_and_go() -> None:
    client = session("a@b")
    subscribe = {"method": "SUBSCRIBE", "params": ["c@d", "a@b", "nonsense"], "id": 7}
    assert reply(client, subscribe) == {"result": None, "id": 7}
    assert client.names == {"a@b": 1_000, "c@d": 2_000, "nonsense": 2_000}
    assert reply(client, {"method": "UNSUBSCRIBE", "params": ["a@b", "x"], "id": 8})["result"] is None
    listed = reply(client, {"method": "LIST_SUBSCRIPTIONS", "id": 9})
    assert listed == {"result": ["c@d", "nonsense"], "id": 9}


def test_wrapping_is_a_property() -> None:
    client = session(combined=True)
    ask = {"method": "GET_PROPERTY", "params": ["combined"], "id": 1}
    assert reply(client, ask) == {"result": True, "id": 1}
    assert reply(client, {"method": "SET_PROPERTY", "params": ["combined", False], "id": 2}) == {
        "result": None,
        "id": 2,
    }
    assert reply(client, ask)["result"] is False


def test_answers_without_an_id_carry_null() -> None:
    assert reply(session(), {"method": "SUBSCRIBE", "params": []}) == {"result": None, "id": None}


REFUSED: tuple[tuple[Any, int, str], ...] = (
    ({"params": [], "id": 1}, 2, "missing field `method`"),
    ([1, 2], 2, "missing field `method`"),
    ({"method": "JUMP", "id": 1}, 2, "unknown variant `JUMP`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`"),
    ({"method": "SUBSCRIBE", "params": ["a"], "id": "x" * 37}, 2, "request ID must be an unsigned integer"),
    ({"method": "SUBSCRIBE", "params": ["a"], "id": -1}, 2, "request ID must be an unsigned integer"),
    ({"method": "SUBSCRIBE", "params": ["a"], "id": True}, 2, "request ID must be an unsigned integer"),
    ({"method": "SUBSCRIBE", "params": "a", "id": 1}, 2, "params must be an array"),
    ({"method": "SUBSCRIBE", "params": [3], "id": 1}, 2, "stream names must be strings"),
    ({"method": "GET_PROPERTY", "params": [], "id": 1}, 2, "property name must be a string"),
    ({"method": "GET_PROPERTY", "params": ["combined", 1], "id": 1}, 2, "too many parameters"),
    ({"method": "GET_PROPERTY", "params": ["colour"], "id": 1}, 0, "Unknown property"),
    ({"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}, 1, "expected Boolean"),
    ({"method": "SET_PROPERTY", "params": ["combined"], "id": 1}, 1, "expected Boolean"),
)


@pytest.mark.parametrize(("command", "code", "words"), REFUSED)
def test_senseless_commands_are_told_what_is_wrong(command: Any, code: int, words: str) -> None:
    client = session("a@b")
    error = reply(client, command)["error"]
    assert error["code"] == code
    assert words in error["msg"]
    assert client.names == {"a@b": 1_000}


def test_what_is_no_json_is_said_to_be_none() -> None:
    answer = json.loads(session().reply('{"method": ', 0))
    assert answer == {"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 12"}}


def test_more_streams_than_allowed_end_the_connection() -> None:
    client = session("a", "b", "c", "d", most=5)
    reply(client, {"method": "SUBSCRIBE", "params": ["e"], "id": 1})
    with pytest.raises(TooManyStreams, match="more than 5 streams"):
        reply(client, {"method": "SUBSCRIBE", "params": ["f"], "id": 2})
    with pytest.raises(TooManyStreams):
        session(*"abcdef")
