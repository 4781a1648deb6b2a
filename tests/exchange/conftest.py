from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from futures_agent.exchange.client import MarketDataClient
from futures_agent.settings.tree import ExchangeSettings
from loopback_exchange import LoopbackExchange, loopback_exchange


@pytest.fixture
def exchange() -> Iterator[LoopbackExchange]:
    with loopback_exchange() as served:
        yield served


@pytest.fixture
def make_client(exchange: LoopbackExchange, tmp_path: Path) -> Iterator[Callable[..., MarketDataClient]]:
    """Return a maker of clients of `exchange` with one shared state directory."""
    made = []

    def make(on_wait: Callable[[int], None] | None = None, **settings: Any) -> MarketDataClient:
        chosen = ExchangeSettings(**{"rest_url": exchange.url, "time_scale": exchange.scale, **settings})
        made.append(MarketDataClient(chosen, tmp_path / "exchange", on_wait=on_wait))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., MarketDataClient]) -> MarketDataClient:
    return make_client()
