"""`agentctl simulator`: run the venue until told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
                "port": port,
            },
            SimulatorConfig,
        )
    except msgspec.ValidationError as error:
        raise Refuse(f"simulator: {error}; `agentctl simulator --help` says what is possible") from None

    def ready(url: str) -> None:
        print(f"the exchange simulator answers at {url}", flush=True)
        if url_file is not None:
            write_atomically(url_file, url.encode())

    serve(config, on_ready=ready)
