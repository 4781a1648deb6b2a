from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote_plus

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from futures_agent.errors import Refuse
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.signing import (
    check_accounts,
    check_engine_time,
    check_time,
    signature_is_valid,
    split_signature,
)
from futures_agent.simulator.trading.config import AccountConfig

# The exchange publishes these; the mixed one with a typo (a space), recomputed here without it.
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
IN_ONE = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
    "&recvWindow=5000&timestamp=1591702613943"
)
REORDERED = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=9000"
    "&recvWindow=5000&timestamp=1591702613943"
)
QUERY = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
BODY = "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943"
VECTORS = [
    (IN_ONE, "", "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"),
    ("", REORDERED, "ec11dcc17e67e47f0d3c3f513dfe9062307e37619c5c82ebaa8fe0bdf3d59519"),
    (QUERY, BODY, "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"),
]


def pem(public_key: object) -> str:
    text: bytes = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return text.decode()


@pytest.mark.parametrize(("query", "body", "signature"), VECTORS)
def test_official_vectors(query: str, body: str, signature: str) -> None:
    if body:
        body += f"&signature={signature}"
    else:
        query += f"&signature={signature.upper()}"
    payload, found = split_signature(query, body)
    assert signature_is_valid(SECRET, payload, found)
    assert not signature_is_valid(SECRET, payload + " ", found)
    assert not signature_is_valid(SECRET[::-1], payload, found)


def test_a_signature_in_the_query_covers_the_body() -> None:
    payload, found = split_signature(f"{QUERY}&signature={VECTORS[2][2]}", BODY)
    assert payload == QUERY + BODY
    assert signature_is_valid(SECRET, payload, found)


def test_a_signature_alone_signs_nothing() -> None:
    assert split_signature("signature=ab", "") == ("", "ab")


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ("a=1", "", -1102),
        ("a=1&signature=", "", -1102),
        ("a=1&signature=ab&b=2", "", -1022),
        ("signature=ab&b=2", "c=1", -1022),
        ("", "signature=ab&b=2", -1022),
    ],
)
def test_a_signature_must_be_there_and_last(query: str, body: str, code: int) -> None:
    with pytest.raises(VenueError) as refused:
        split_signature(query, body)
    assert refused.value.code == code


def test_rsa() -> None:
    key = generate_rsa(65537, 2048)
    raw = key.sign(IN_ONE.encode(), PKCS1v15(), SHA256())
    sent = f"{IN_ONE}&signature={quote_plus(b64encode(raw))}"
    payload, signature = split_signature(sent, "")
    assert signature_is_valid(pem(key.public_key()), payload, signature)
    assert not signature_is_valid(pem(key.public_key()), REORDERED, signature)


def test_ed25519() -> None:
    key = Ed25519PrivateKey.generate()
    raw = key.sign(IN_ONE.encode())
    signature = b64encode(raw).decode()
    assert signature_is_valid(pem(key.public_key()), IN_ONE, signature)
    assert not signature_is_valid(pem(key.public_key()), IN_ONE, signature[:-4])
    assert not signature_is_valid(pem(key.public_key()), IN_ONE, "§")


def test_a_base64_plus_that_was_not_encoded_is_a_space() -> None:
    assert split_signature("a=1&signature=ab+/w==", "")[1] == "ab /w=="
    assert not signature_is_valid(pem(Ed25519PrivateKey.generate().public_key()), "a=1", "ab /w==")


@pytest.mark.parametrize(
    "text", ["-----BEGIN PUBLIC KEY-----\nx\n", pem(generate_ec(SECP256R1()).public_key())]
)
def test_a_key_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(Refuse, match="must be that of an RSA or Ed25519 key"):
        signature_is_valid(text, "", "")


@pytest.mark.parametrize(
    ("accounts", "text"),
    [
        (
            [AccountConfig(key="a", secret="s"), AccountConfig(key="a", secret="t")],
            "'a' is empty or there twice",
        ),
        ([AccountConfig(key="", secret="s")], "'' is empty"),
        ([AccountConfig(key="a")], "a has neither secret nor public_key"),
        ([AccountConfig(key="a", public_key="-----BEGIN")], "public_key must be"),
    ],
)
def test_accounts_nobody_could_sign_for(accounts: list[AccountConfig], text: str) -> None:
    with pytest.raises(Refuse, match=text):
        check_accounts(accounts)


def test_accounts_of_every_kind() -> None:
    public = pem(Ed25519PrivateKey.generate().public_key())
    check_accounts([AccountConfig(key="a", secret="s"), AccountConfig(key="b", public_key=public)])


NOW = 1_700_000_000_000


@pytest.mark.parametrize(("timestamp", "window"), [(NOW - 5000, 5000), (NOW, 0), (NOW + 999, 5000)])
def test_in_time(timestamp: int, window: int) -> None:
    check_time(timestamp, window, NOW)


@pytest.mark.parametrize(
    ("timestamp", "window", "text"),
    [
        (NOW - 5001, 5000, "Timestamp for this request is outside of the recvWindow."),
        (NOW - 1, 0, "Timestamp for this request is outside of the recvWindow."),
        (NOW + 1000, 5000, "Timestamp for this request was 1000ms ahead of the server's time."),
    ],
)
def test_out_of_time(timestamp: int, window: int, text: str) -> None:
    with pytest.raises(VenueError) as refused:
        check_time(timestamp, window, NOW)
    assert (refused.value.code, str(refused.value)) == (-1021, text)


def test_the_engine_judges_again() -> None:
    check_engine_time(NOW - 5000, 5000, NOW)
    with pytest.raises(VenueError) as refused:
        check_engine_time(NOW - 5000, 5000, NOW + 1)
    assert refused.value.code == -5028
