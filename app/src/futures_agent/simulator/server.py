"""Running a simulated exchange: for a program that waits, or around a block of code."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from futures_agent.errors import Refuse
from futures_agent.simulator.clock import VenueClock
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.control import control_routes, stats_of
from futures_agent.simulator.fault_plan import Planned
from futures_agent.simulator.market import Market
from futures_agent.simulator.page import page_routes
from futures_agent.simulator.rest import rest_routes
from futures_agent.simulator.rest_account import ACCOUNT_ENDPOINTS
from futures_agent.simulator.rest_algo import ALGO_ENDPOINTS
from futures_agent.simulator.rest_macro import macro_routes
from futures_agent.simulator.rest_market import MARKET_ENDPOINTS
from futures_agent.simulator.rest_orders import ORDER_ENDPOINTS
from futures_agent.simulator.rest_prices import PRICE_ENDPOINTS
from futures_agent.simulator.rest_sentiment import SENTIMENT_ENDPOINTS
from futures_agent.simulator.rest_terms import TERMS_ENDPOINTS
from futures_agent.simulator.venue import Venue

_STOP_TIMEOUT_S = 5.0


class RunningSimulator:
    """A simulator that answers at `url`, to be steered from the same process.

    Attributes
    ----------
    url : str
        `http://127.0.0.1:PORT`, without a slash at the end.
    venue : Venue
        What its endpoints share.
    """

    def __init__(self, url: str, venue: Venue) -> None:
        self.url = url
        self.venue = venue

    @property
    def clock(self) -> VenueClock:
        """The venue's clock."""
        return self.venue.clock

    @property
    def market(self) -> Market:
        """The truth that the endpoints show."""
        return self.venue.market

    @property
    def stats(self) -> dict[str, Any]:
        """What was answered so far; see `control.stats_of`."""
        return stats_of(self.venue)

    def add_fault(self, fault: Planned) -> None:
        """Plan a fault."""
        self.venue.faults.add(fault)


def create_app(venue: Venue) -> Starlette:
    """Return the ASGI application of `venue`."""
    market = (*MARKET_ENDPOINTS, *PRICE_ENDPOINTS, *SENTIMENT_ENDPOINTS)
    account = (*ORDER_ENDPOINTS, *ALGO_ENDPOINTS, *ACCOUNT_ENDPOINTS, *TERMS_ENDPOINTS)
    exchange = rest_routes(venue, (*market, *account))
    return Starlette(routes=[*page_routes(venue), *control_routes(venue), *macro_routes(venue), *exchange])


@contextmanager
def running_simulator(config: SimulatorConfig, venue: Venue | None = None) -> Iterator[RunningSimulator]:
    """Serve `config` from a thread for as long as the block runs; `venue`, if given, goes on from before.

    Raises
    ------
    Refuse
        The data set cannot be used, or the address cannot be bound.
    """
    venue = venue or Venue(config)
    bound = listener(config)
    server = uvicorn.Server(
        uvicorn.Config(
            venue.streams.counting(create_app(venue)),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws=venue.streams.protocol(),
            http=venue.connections.protocol(),
            loop="asyncio",
            date_header=False,  # the host's date would contradict the venue's clock
            server_header=False,
            proxy_headers=False,  # weight is counted per real address
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, args=([bound],), name="simulator", daemon=True)
    thread.start()
    host, port = bound.getsockname()[:2]
    try:
        yield RunningSimulator(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", venue)
    finally:
        server.should_exit = True
        thread.join(_STOP_TIMEOUT_S)
        bound.close()


def serve(config: SimulatorConfig, *, on_ready: Callable[[str], None] = print) -> None:
    """Serve `config` until SIGINT or SIGTERM; call `on_ready` with the URL once it answers.

    Must run in the main thread.

    Raises
    ------
    Refuse
        As `running_simulator`.
    """
    stop = threading.Event()
    previous = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with running_simulator(config) as simulator:
            on_ready(simulator.url)
            while not stop.wait(3600.0):
                pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def listener(config: SimulatorConfig) -> socket.socket:
    """Return a listening socket; connections queue in it from now on, so the URL is good at once.

    Raises
    ------
    Refuse
        The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        bound = socket.create_server((config.host, config.port), family=family, backlog=512)
    except OSError as error:
        raise Refuse(
            f"simulator: cannot listen on {config.host} port {config.port}: {error.strerror}; "
            "choose another --port, or 0 for any"
        ) from None
    # Accepted sockets inherit it. An answer goes out in two writes; without this the second one waits
    # for the client's delayed acknowledgement, 40 ms.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound
