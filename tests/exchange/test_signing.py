from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest

from futures_agent.errors import Refuse
from futures_agent.exchange.signing import Signer, query_of

SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
STAMP = {"recvWindow": 5000, "timestamp": 1591702613943}


@pytest.mark.parametrize(
    ("terms", "signature"),
    [
        # The exchange's own example.
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC",
            "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
        ),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=9000",
            "ec11dcc17e67e47f0d3c3f513dfe9062307e37619c5c82ebaa8fe0bdf3d59519",
        ),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=9000",
            "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
        ),
    ],
)
def test_the_exchanges_test_vectors(terms: str, signature: str) -> None:
    payload = f"{terms}&recvWindow=5000&timestamp=1591702613943"
    assert Signer("key", SECRET).signature(payload) == signature


def test_the_signature_stands_last_and_is_that_of_the_text_before_it() -> None:
    params = {**LIMIT, "quantity": Decimal(1), "price": Decimal("9000"), "timeInForce": "GTC", **STAMP}
    query = Signer("key", f" {SECRET}\n").signed(params)
    payload, _, signature = query.rpartition("&signature=")
    assert signature == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    assert payload == query_of(params)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1e-05"), "0.00001"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.500"), "0.5"),
        (Decimal("-0.0"), "0"),
        (Decimal("123456789.123456789"), "123456789.123456789"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
    ],
)
def test_values_are_written_as_the_exchange_reads_them(value: object, text: str) -> None:
    assert query_of({"x": value}) == f"x={text}"  # type: ignore[dict-item]


def test_symbols_in_any_alphabet_and_marks_of_client_ids() -> None:
    query = query_of({"symbol": "币安人生USDT", "newClientOrderId": "cfa-1:a/b.c_d"})
    assert query.startswith("symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&")
    assert dict(parse_qsl(query)) == {"symbol": "币安人生USDT", "newClientOrderId": "cfa-1:a/b.c_d"}


def test_floats_and_what_is_no_number_are_no_parameters() -> None:
    with pytest.raises(TypeError, match="quantity is a float"):
        query_of({"quantity": 1e-05})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="price is NaN"):
        query_of({"price": Decimal("nan")})


@pytest.mark.parametrize(
    ("key", "secret", "said"),
    [
        ("", SECRET, "API key: empty"),
        ("key", " \n", "API secret: empty"),
        ("key", "two words", "API secret: .* not one word"),
        ("key", "-----BEGIN PRIVATE KEY-----\nabc", "API secret: this is a PEM key"),
        ("schlüssel", SECRET, "API key: .*ASCII"),
    ],
)
def test_keys_that_cannot_be_one_are_refused_and_not_shown(key: str, secret: str, said: str) -> None:
    with pytest.raises(Refuse, match=said) as refused:
        Signer(key, secret)
    for text in ("two words", "abc", "schlüssel"):
        assert text not in str(refused.value)


def test_a_signer_shows_and_gives_away_nothing() -> None:
    signer = Signer("public-part", SECRET)
    for shown in (repr(signer), str(signer), f"{signer}"):
        assert SECRET not in shown
        assert "public-part" not in shown
    for give_away in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a secret is not copied"):
            give_away(signer)
