"""`agentctl simulator`: run the venue until told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from futures_agent.clock import parse_utc
from futures_agent.errors import Refuse
from futures_agent.files import write_atomically
from futures_agent.simulator.config import SimulatorConfig


def run_simulator(
    *,
    data: Path | None,
    symbols: Sequence[str] | None,
    start: str | None,
    scale: float,
    seed: int,
    latency_ms: float,
    accounts: Path | None,
    fills: str,
    script: Path | None,
    ledger: Path | None,
    port: int,
    url_file: Path | None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; says its URL on stdout, and in `url_file` once it answers.

    Raises
    ------
    Refuse
        An option is out of its bounds, the port is taken, or the server's libraries are not installed.
    """
    try:
        from futures_agent.simulator.server import serve
    except ModuleNotFoundError as error:
        raise Refuse(f"simulator: {error.name} is not installed; install the extra `simulator`") from None
    try:
        config = msgspec.convert(
            {
                "dataset": data,
                "symbols": tuple(symbols or ()),
                "start_ms": None if start is None else parse_utc(start),
                "scale": scale,
                "seed": seed,
                "latency_ms": latency_ms,
                "script": script,
                "ledger": ledger,
                "port": port,
                "trading": {"path": fills} | ({} if accounts is None else {"accounts": _read(accounts)}),
            },
            SimulatorConfig,
        )
        if not config.trading.accounts:
            raise Refuse(f"simulator: {accounts} holds no account; leave --accounts away for the usual one")
    except msgspec.ValidationError as error:
        raise Refuse(f"simulator: {error}; `agentctl simulator --help` says what is possible") from None

    def ready(url: str) -> None:
        print(f"the exchange simulator answers at {url}; its page is {url}/sim/", flush=True)
        if url_file is not None:
            write_atomically(url_file, url.encode())

    serve(config, on_ready=ready)


def _read(accounts: Path) -> Any:
    """Return what a file of accounts holds: a JSON list of `trading.config.AccountConfig`.

    Raises
    ------
    Refuse
        The file cannot be read, or is not JSON.
    """
    try:
        return msgspec.json.decode(accounts.read_bytes())
    except OSError as error:
        raise Refuse(f"simulator: cannot read the accounts in {accounts}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise Refuse(f"simulator: {accounts} is no list of accounts in JSON: {error}") from None
