"""Signing requests: one text of parameters, and the signature of exactly its bytes.

Source: Binance USDⓈ-M "General Info", SIGNED endpoint security (HMAC-SHA256).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import urlencode

from futures_agent.errors import Refuse

Value = str | int | bool | Decimal


class Signer:
    """An API key and its secret; neither shows in what is printed of it.

    Parameters
    ----------
    key, secret : str
        Blanks around them are not part of them.

    Raises
    ------
    Refuse
        One of them cannot be what the exchange hands out.
    """

    def __init__(self, key: str, secret: str) -> None:
        for name, text in (("key", key.strip()), ("secret", secret.strip())):
            if text.startswith("-----BEGIN"):
                raise Refuse(f"API {name}: this is a PEM key; make a key of the kind HMAC at the exchange")
            if not text or not text.isascii() or not text.isprintable() or " " in text:
                raise Refuse(f"API {name}: empty, or not one word of printable ASCII; copy it again")
        self.key = key.strip()
        self._secret = secret.strip().encode()

    def __repr__(self) -> str:
        return "Signer(key and secret hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not copied or stored")

    def signature(self, payload: str) -> str:
        """Return the HMAC-SHA256 of `payload`, 64 hexadecimal digits."""
        return hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()

    def signed(self, params: Mapping[str, Value]) -> str:
        """Return `params` as a query with its signature at the end; to be sent as it is."""
        payload = query_of(params)
        return f"{payload}&signature={self.signature(payload)}"


def query_of(params: Mapping[str, Value]) -> str:
    """Return `params` as a query, in their order, as UTF-8 in percent-encoding.

    Decimals are written out: `1e-05` is refused by the exchange. A float is no parameter, as nobody could
    say how many of its digits are meant (TypeError).
    """
    return urlencode([(name, _text(name, value)) for name, value in params.items()])


def _text(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{name} is {value}, no number")
        return f"{value.normalize():f}" if value else "0"
    if isinstance(value, str | int):
        return str(value)
    raise TypeError(f"{name} is a {type(value).__name__}; parameters are texts, whole numbers or decimals")
