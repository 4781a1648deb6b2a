"""Go-live check: the exchange's rate limits are never exceeded, and obeyed when the exchange insists.

Everything here runs over real sockets against the simulated exchange, which counts weight per address in
fixed minutes of its own clock, as the real one does. The finer points are in tests/exchange.
"""

import json
import time

import pytest

from futures_agent.errors import Interrupted, Retry
from futures_agent.exchange.client import MarketDataClient
from futures_agent.exchange.transport import Transport
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import ExchangeSettings
from futures_agent.simulator.faults import Fault
from weight_program import run_together

KLINES = "/fapi/v1/klines"


@pytest.fixture
def make_client(tmp_path):
    made = []

    def make(simulator, on_wait=None, **settings):
        chosen = ExchangeSettings(rest_url=simulator.url, **settings)
        made.append(MarketDataClient(chosen, tmp_path / "exchange", on_wait=on_wait))
        return made[-1]

    yield make
    for client in made:
        client.close()


def fetch(client, limit=499):
    return client.closed_candles("BTCUSDT", Timeframe.H1, start_ms=None, limit=limit)


def drain(client):
    while True:
        fetch(client)


def move_to(simulator, state, now_ms):
    """Let time pass, on the exchange and for programs that only know the saved offset."""
    simulator.clock.set(now_ms)
    wall_ms = time.time_ns() // 1_000_000
    saved = {"offset_ms": now_ms - wall_ms, "scale": 1.0, "measured_at_ms": wall_ms}
    (state / "clock.json").write_text(json.dumps(saved))


def refuse_to_wait(until_ms):
    raise Interrupted(f"would wait until {until_ms}")


def test_programs_of_one_host_together_never_meet_429(simulator_factory, tmp_path):
    limit, requests, scale = 120, 60, 60.0
    simulator = simulator_factory(scale=scale, weight_limit=limit, latency_ms=5)
    said = run_together([[simulator.url, tmp_path / "exchange", scale, limit, requests]] * 3)
    stats = simulator.stats
    assert set(stats["by_status"]) == {"200"}
    assert stats["peak_weight"] <= limit
    # The limit was really in the way: the programs filled minutes and waited for the next.
    assert sum(window.weight for window in stats["windows"]) >= 3 * requests * 2
    assert any("waited=True" in output for output in said), said


def test_the_live_trader_never_waits_however_much_the_jobs_ask_for(simulator_factory, tmp_path):
    limit, scale = 200, 60.0
    simulator = simulator_factory(scale=scale, weight_limit=limit, latency_ms=5)
    host = [simulator.url, tmp_path / "exchange", scale, limit]
    jobs, live = [*host, 150, 0.5], [*host, 25, 0.5, "live"]
    *greedy, first = run_together([jobs, jobs, live])
    stats = simulator.stats
    assert set(stats["by_status"]) == {"200"}
    assert stats["peak_weight"] <= limit * 0.9
    assert all("waited=True" in said for said in greedy), greedy  # the limit was in the way of the others
    assert "waited=False" in first


def test_the_simulated_exchange_does_refuse_whoever_ignores_its_limit(simulator_factory):
    simulator = simulator_factory(weight_limit=20)
    transport = Transport(ExchangeSettings(rest_url=simulator.url))
    statuses = [transport.get("/fapi/v1/time").status for _ in range(40)]
    transport.close()
    assert statuses[:20] == [200] * 20
    assert 429 in statuses
    assert statuses[-1] == 418


def test_only_the_configured_share_of_the_stated_limit_is_used(simulator_factory, make_client):
    simulator = simulator_factory(weight_limit=100)  # its clock stands still: one minute only
    client = make_client(simulator, refuse_to_wait, weight_limit_share=0.5)
    client.exchange_info()  # states 100; the setting's default is 2400
    with pytest.raises(Interrupted, match="would wait"):
        drain(client)
    assert simulator.stats["peak_weight"] == 50
    assert set(simulator.stats["by_status"]) == {"200"}


def test_a_program_that_follows_in_the_same_minute_has_only_what_is_left(simulator_factory, make_client):
    simulator = simulator_factory()
    settings = {"weight_limit_per_min": 40, "weight_limit_share": 0.5}
    first = make_client(simulator, refuse_to_wait, **settings)
    for _ in range(8):
        fetch(first)
    first.close()
    second = make_client(simulator, refuse_to_wait, **settings)
    fetch(second)
    with pytest.raises(Interrupted, match="would wait"):
        fetch(second)
    assert simulator.stats["peak_weight"] == 20  # twice the time at 1, nine pages at 2


def test_weight_that_others_use_from_this_address_counts(simulator_factory, make_client):
    simulator = simulator_factory()
    client = make_client(simulator, refuse_to_wait, weight_limit_per_min=60, weight_limit_share=0.5)
    fetch(client)
    stranger = Transport(ExchangeSettings(rest_url=simulator.url))
    for _ in range(40):
        stranger.get("/fapi/v1/time")
    stranger.close()
    fetch(client)  # its answer tells
    with pytest.raises(Interrupted, match="would wait"):
        fetch(client)


def test_after_429_every_program_keeps_still_as_long_as_told(simulator_factory, make_client):
    simulator = simulator_factory()
    client = make_client(simulator)
    client.sync_clock()
    simulator.add_fault(Fault(status=429, retry_after_s=600, path=KLINES))
    with pytest.raises(Retry, match="HTTP 429"):
        fetch(client)
    sent = simulator.stats["requests"]
    for program in (client, make_client(simulator)):
        with pytest.raises(Retry, match="banned this address until 2026-03-10T14:30:0") as raised:
            fetch(program)
        assert 590 < raised.value.after_s < 610
    assert simulator.stats["requests"] == sent


def test_after_418_nothing_is_sent_until_the_ban_ends(simulator_factory, make_client, tmp_path):
    state = tmp_path / "exchange"
    simulator = simulator_factory()
    client = make_client(simulator)
    client.sync_clock()
    simulator.add_fault(Fault(status=418, retry_after_s=7200, path=KLINES))
    with pytest.raises(Retry, match=r"HTTP 418 .* IP banned until"):
        fetch(client)
    client.close()
    sent = simulator.stats["requests"]
    with pytest.raises(Retry, match="banned this address until 2026-03-10T16:20:0"):
        fetch(make_client(simulator))
    assert simulator.stats["requests"] == sent
    ban_until_ms = json.loads((state / "weight.state").read_bytes())["ban_until_ms"]
    move_to(simulator, state, ban_until_ms - 3_600_000)
    with pytest.raises(Retry, match="banned"):
        fetch(make_client(simulator))
    assert simulator.stats["requests"] == sent
    move_to(simulator, state, ban_until_ms + 2_000)
    assert len(fetch(make_client(simulator))) == 498


def test_a_damaged_count_never_leads_to_more_than_the_share(simulator_factory, make_client, tmp_path):
    simulator = simulator_factory()
    client = make_client(simulator, refuse_to_wait, weight_limit_per_min=40, weight_limit_share=0.5)
    for _ in range(9):
        fetch(client)
    (tmp_path / "exchange" / "weight.state").write_bytes(b'{"window": 2\x00\x00')
    with pytest.raises(Interrupted, match="would wait"):
        fetch(client)
    assert simulator.stats["peak_weight"] <= 20


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_a_storm_of_server_errors_is_not_answered_with_more_requests(simulator_factory, make_client, status):
    simulator = simulator_factory()
    client = make_client(simulator)
    client.sync_clock()
    simulator.add_fault(Fault(status=status, count=3, path=KLINES))
    for attempt in range(3):
        with pytest.raises(Retry, match=f"HTTP {status}"):
            fetch(client)
        assert simulator.stats["by_path"][KLINES] == attempt + 1
    assert len(fetch(client)) == 498
