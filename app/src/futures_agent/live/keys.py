"""The exchange's keys, and whether the settings let real money be traded with them."""

from __future__ import annotations

from futures_agent.errors import Refuse
from futures_agent.program.credentials import read_credential
from futures_agent.settings import Settings


def keys_of(settings: Settings) -> tuple[str, str] | None:
    """Return key and secret; None in paper mode, which needs none.

    Raises
    ------
    Refuse
        Real money without its confirmation, or no keys.
    """
    live = settings.live
    if live.mode == "paper":
        return None
    if live.mode == "live" and not live.confirm_live:
        raise Refuse(
            "live.mode is live, which trades real money: set live.confirm_live = true as well, or live.mode "
            "to paper or testnet"
        )
    key = read_credential("binance_api_key", live.key_file, "live.key_file")
    secret = read_credential("binance_api_secret", live.secret_file, "live.secret_file")
    if not key or not secret:
        raise Refuse(
            f"live.mode is {live.mode}, which needs the exchange's keys: give the unit the credentials "
            "binance_api_key and binance_api_secret (docs/live-trading.md), or set live.mode to paper"
        )
    return key, secret
