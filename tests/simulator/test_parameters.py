from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from futures_agent.simulator.parameters import Parameters
from futures_agent.simulator.refusal import VenueError


def code_of(call: Callable[[], object]) -> int:
    with pytest.raises(VenueError) as refused:
        call()
    return refused.value.code


def test_the_query_wins_over_the_body() -> None:
    parameters = Parameters("symbol=ETHUSDT&side=BUY", "symbol=BTCUSDT&quantity=1")
    assert dict(parameters) == {"symbol": "ETHUSDT", "side": "BUY", "quantity": "1"}
    assert len(parameters) == 3


def test_texts_are_utf_8() -> None:
    assert Parameters("symbol=%E5%B8%81%E5%AE%89USDT").needed("symbol") == "币安USDT"


def test_one_parameter_twice() -> None:
    assert code_of(lambda: Parameters("a=1&a=2")) == -1101


def test_what_is_not_asked_for_is_refused() -> None:
    parameters = Parameters("symbol=ETHUSDT&side=BUY")
    with pytest.raises(VenueError) as refused:
        parameters.check_names({"symbol"})
    assert str(refused.value) == "Not all sent parameters were read; read '1' parameter(s) but was sent '2'."
    parameters.check_names({"symbol", "side", "type"})
    assert code_of(lambda: Parameters("symbl=ETHUSDT").check_names({"symbol"})) == -1103


def test_typed_readings() -> None:
    parameters = Parameters(body="n=12&q=0.50&yes=true&no=False&id=a-1&many=[1,%222%22]&of=B")
    assert parameters.whole("n") == 12
    assert parameters.decimal("q") == Decimal("0.50")
    assert (parameters.flag("yes"), parameters.flag("no")) == (True, False)
    assert parameters.client_id("id") == "a-1"
    assert parameters.listed("many") == [1, "2"]
    assert parameters.choice("of", ("A", "B"), "A") == "B"
    assert parameters.choice("absent", ("A", "B"), "A") == "A"
    absent = (parameters.whole, parameters.decimal, parameters.flag, parameters.client_id, parameters.listed)
    assert [read("absent") for read in absent] == [None] * 5


@pytest.mark.parametrize(
    ("sent", "read", "code"),
    [
        ("", lambda p: p.needed("x"), -1102),
        ("x=", lambda p: p.needed("x"), -1102),
        ("x=", lambda p: p.text("x"), -1105),
        ("x=1e-05", lambda p: p.decimal("x"), -1100),
        ("x=1.", lambda p: p.decimal("x"), -1100),
        ("x=1.5", lambda p: p.whole("x"), -1100),
        ("x=-1", lambda p: p.whole("x"), -1100),
        ("x=1%0A", lambda p: p.whole("x"), -1100),
        ("x=yes", lambda p: p.flag("x"), -1130),
        ("x=yes", lambda p: p.flag("x", -4062), -4062),
        ("x=C", lambda p: p.choice("x", ("A", "B"), "A"), -1130),
        ("x=C", lambda p: p.choice("x", ("A", "B"), "A", -1117), -1117),
        ("x=a%20b", lambda p: p.client_id("x"), -1100),
        ("x=" + 37 * "a", lambda p: p.client_id("x"), -4015),
        ("x={}", lambda p: p.listed("x"), -1130),
        ("x=[", lambda p: p.listed("x"), -1130),
        ("x=1", lambda p: p.forbid("y", "x"), -1106),
    ],
)
def test_refusals(sent: str, read: Callable[[Parameters], object], code: int) -> None:
    assert code_of(lambda: read(Parameters(sent))) == code


def test_minus_one_is_a_decimal() -> None:
    assert Parameters("x=-1").decimal("x") == -1
