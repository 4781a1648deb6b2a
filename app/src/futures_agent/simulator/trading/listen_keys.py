"""Listen keys: one per account, good for an hour, which every use extends."""

from __future__ import annotations

from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading import events
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.state import Due, State

_LENGTH = 64


def start_listen_key(state: State, account: Account) -> str:
    """Return the account's key, a new one where it has none; it is good for an hour from now."""
    if not account.listen_key:
        account.listen_key = state.numbers.text(_LENGTH)
    account.listen_key_expires_ms = state.now_ms + state.config.listen_key_ms
    state.schedule(account.listen_key_expires_ms, Due.LISTEN_KEY, account)
    return account.listen_key


def keep_listen_key(state: State, account: Account) -> str:
    """Extend the account's key by an hour from now.

    Raises
    ------
    VenueError
        -1125: it has none.
    """
    if not account.listen_key:
        raise refusal(-1125)
    return start_listen_key(state, account)


def close_listen_key(account: Account) -> None:
    """Forget the account's key: events under it end without a word."""
    account.listen_key, account.listen_key_expires_ms = "", 0


def expire_listen_key(state: State, account: Account, *, early: bool = False) -> None:
    """Tell that the account's key has expired, and forget it, if its time has come or `early`."""
    if account.listen_key and (early or account.listen_key_expires_ms <= state.now_ms):
        state.emit(account, events.listen_key_expired(state.now_ms, account.listen_key))
        close_listen_key(account)
