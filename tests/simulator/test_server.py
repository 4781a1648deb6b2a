from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from futures_agent.errors import Refuse
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.faults import Fault
from futures_agent.simulator.server import RunningSimulator, listener, running_simulator

Factory = Callable[..., RunningSimulator]


def test_it_answers_while_the_block_runs_and_not_after() -> None:
    with running_simulator(SimulatorConfig(symbols=("BTCUSDT",), history_days=1, scale=0)) as simulator:
        assert simulator.url.startswith("http://127.0.0.1:")
        assert requests.get(simulator.url + "/fapi/v1/ping", timeout=10).status_code == 200
        url = simulator.url
    with pytest.raises(requests.ConnectionError):
        requests.get(url + "/fapi/v1/ping", timeout=2)


def test_many_clients_at_once_are_served_and_counted(simulator_factory: Factory) -> None:
    simulator = simulator_factory(latency_ms=5)
    url = simulator.url + "/fapi/v1/klines?symbol=SOLUSDT&interval=1h&limit=499"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: requests.get(url, timeout=10).content, range(40)))
    assert len(set(answers)) == 1
    assert simulator.stats["peak_weight"] == 80


def test_faults_can_be_added_from_the_same_process(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    simulator.add_fault(Fault(status=429, retry_after_s=3))
    answer = requests.get(simulator.url + "/fapi/v1/time", timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")


def test_html_faults_say_so(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    simulator.add_fault(Fault(status=403))
    answer = requests.get(simulator.url + "/fapi/v1/time", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_taken_port_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = SimulatorConfig(symbols=("BTCUSDT",), history_days=1, port=port)
        with (
            pytest.raises(Refuse, match=f"cannot listen on 127.0.0.1 port {port}"),
            running_simulator(config),
        ):
            pass


def test_connections_send_at_once_instead_of_waiting_for_acknowledgements() -> None:
    with (
        listener(SimulatorConfig()) as listening,
        socket.create_connection(listening.getsockname()) as _client,
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


SERVE = """
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import serve
serve(SimulatorConfig(symbols=("BTCUSDT",), history_days=1), on_ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_cleanly_when_told_to(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with requests.Session() as session:  # a connection kept alive does not hold it up
            assert session.get(url + "/fapi/v1/ping", timeout=10).json() == {}
            process.send_signal(number)
            assert process.stdout.read().strip() == "ended"
            assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()
