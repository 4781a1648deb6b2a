"""Who sent a request, and when: signatures over the bytes that were sent, and the window of their timestamp.

Source: the exchange's general information. What is signed is query and body, one after the other with
nothing between, as they went over the wire and without the signature, which comes last in its part.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from futures_agent.clock import SECOND_MS
from futures_agent.errors import Refuse
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading.config import AccountConfig

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

USUAL_RECV_WINDOW_MS, LARGEST_RECV_WINDOW_MS = 5_000, 60_000
_AHEAD_MS = SECOND_MS  # a timestamp may be less than this ahead of the venue's time
_PEM = "-----BEGIN"
_LAST = re.compile(r"(?:^|&)signature=([^&]*)$")
_ANYWHERE = re.compile(r"(?:^|&)signature=[^&]")


def check_accounts(accounts: Sequence[AccountConfig]) -> None:
    """Refuse accounts that nobody could sign for, or that could not be told apart.

    Raises
    ------
    Refuse
        One has no key, no secret or no usable public key, or shares its key with another.
    """
    keys = [account.key for account in accounts]
    for account in accounts:
        if not account.key or keys.count(account.key) > 1:
            raise Refuse(f"accounts: the key {account.key!r} is empty or there twice; give each its own")
        if account.public_key:
            read_public_key(account.public_key)
        elif not account.secret:
            raise Refuse(f"accounts: {account.key} has neither secret nor public_key; give it one of them")


def split_signature(query: str, body: str) -> tuple[str, str]:
    """Return what was signed, and the decoded signature.

    Parameters
    ----------
    query, body : str
        As they were sent, still percent-encoded; the query without its question mark.

    Raises
    ------
    VenueError
        -1102 without a signature, -1022 where it is not the last parameter of its part.
    """
    if found := _LAST.search(query):
        payload = query[: found.start()] + body
    elif found := _LAST.search(body):
        payload = query + body[: found.start()]
    if found and found[1]:
        return payload, unquote_plus(found[1])
    if _ANYWHERE.search(query) or _ANYWHERE.search(body):
        raise refusal(-1022)
    raise refusal(-1102, "signature")


def signature_is_valid(secret: str, payload: str, signature: str) -> bool:
    """Say whether `signature` is the one of `payload` under `secret`.

    Parameters
    ----------
    secret : str
        The secret of an HMAC key, or the public key (PEM) of an RSA or Ed25519 key.
    payload : str
        What was signed, one character per byte.
    signature : str
        HMAC-SHA256 as hexadecimal in either case; RSA (PKCS #1 v1.5, SHA-256) and Ed25519 as base64.
    """
    message = payload.encode("latin-1")
    if not secret.startswith(_PEM):
        expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    public_key = read_public_key(secret)
    try:
        raw = b64decode(signature, validate=True)
        if isinstance(public_key, RSAPublicKey):
            public_key.verify(raw, message, PKCS1v15(), SHA256())
        else:
            public_key.verify(raw, message)
    except (InvalidSignature, NotBase64, ValueError):
        return False
    return True


@lru_cache(maxsize=64)
def read_public_key(pem: str) -> RSAPublicKey | Ed25519PublicKey:
    """Return the key that a PEM text holds.

    Raises
    ------
    Refuse
        It is no public RSA or Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
        raise Refuse("accounts: public_key must be that of an RSA or Ed25519 key, as PEM; paste such a one")
    return key


def check_time(timestamp_ms: int, recv_window_ms: int, now_ms: int) -> None:
    """Refuse a request that was sent too long before the venue's time, or claims to come from its future.

    Raises
    ------
    VenueError
        -1021, with the text of the side on which the timestamp lies.
    """
    if timestamp_ms >= now_ms + _AHEAD_MS:
        raise refusal(-1021, _AHEAD_MS, other=True)
    if now_ms - timestamp_ms > recv_window_ms:
        raise refusal(-1021)


def check_engine_time(timestamp_ms: int, recv_window_ms: int, now_ms: int) -> None:
    """Refuse an order that reached the matching engine, at `now_ms`, too late.

    Raises
    ------
    VenueError
        -5028.
    """
    if now_ms - timestamp_ms > recv_window_ms:
        raise refusal(-5028)
