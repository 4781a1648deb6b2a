"""A raw WebSocket client for tests: text in, JSON out, no keep-alive of its own."""

from __future__ import annotations

import json
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from futures_agent.simulator.server import RunningSimulator

_LIMIT_S = 10.0


class StreamClient:
    """One connection; to be used as a context manager."""

    def __init__(self, simulator: RunningSimulator, path: str, **options: Any) -> None:
        url = simulator.url.replace("http", "ws", 1) + path
        quiet = {"proxy": None, "compression": None, "ping_interval": None, "close_timeout": 1}
        self._simulator = simulator
        self._connecting = connect(url, max_queue=None, **{**quiet, **options})
        self.socket: ClientConnection

    def __enter__(self) -> StreamClient:
        self.socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connecting.__exit__(*error)

    def next(self) -> Any:
        """Return the next message, waiting for it."""
        return json.loads(self.socket.recv(timeout=_LIMIT_S))

    def here(self) -> list[Any]:
        """Return the messages that have come already."""
        found = []
        while True:
            try:
                found.append(json.loads(self.socket.recv(timeout=0)))
            except (TimeoutError, ConnectionClosed):
                return found

    def stepped(self, *steps_ms: int) -> list[Any]:
        """Step the venue's clock, waiting for quiet each time, and return what came meanwhile."""
        for step_ms in steps_ms:
            step(self._simulator, step_ms)
        return self.here()

    def ask(self, method: str, *params: Any, number: int = 1) -> Any:
        """Send a command and return its answer, the next message."""
        self.socket.send(json.dumps({"method": method, "params": list(params), "id": number}))
        return self.next()

    def end(self) -> ConnectionClosed:
        """Wait until the connection ends and return how it did."""
        try:
            while True:
                self.socket.recv(timeout=_LIMIT_S)
        except ConnectionClosed as closed:
            return closed


def step(simulator: RunningSimulator, step_ms: int, **options: Any) -> None:
    """Step the venue's clock once all clients are quiet, and wait until they are again."""
    change = {"step_ms": step_ms, "wait_quiet": True, **options}
    requests.post(simulator.url + "/sim/clock", json=change, timeout=30).raise_for_status()
