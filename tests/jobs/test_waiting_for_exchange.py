"""Jobs that wait for the exchange's limits: the watchdog hears of it, a stop ends it, one refusal is one."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from futures_agent.errors import ExitCode, Interrupted, Refuse, Retry
from futures_agent.jobs import data_sync
from futures_agent.jobs.candle_fetch import Attempts, fetch_all
from futures_agent.jobs.candle_plan import SeriesPlan
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.job import Job
from futures_agent.program.progress import Reporter
from futures_agent.simulator.faults import Fault
from futures_agent.store.candles import read_candles
from futures_agent.store.database import open_reader

KLINES = "/fapi/v1/klines"
MINUTE = 60_000


@contextlib.contextmanager
def started(job, settings, *options, supervisor=""):
    """Run a job as a program of its own."""
    command = [sys.executable, "-m", "futures_agent.cli", *options, job]
    process = subprocess.Popen(
        command,
        env={
            **os.environ,
            "NOTIFY_SOCKET": supervisor,
            "AGENT_CONFIG": os.devnull,
            "AGENT_PATHS__STATE_DIR": settings.paths.state_dir,
            "AGENT_EXCHANGE__REST_URL": settings.exchange.rest_url,
            "AGENT_DATA__SYMBOLS": ",".join(settings.data.symbols),
            "AGENT_DATA__HISTORY_DAYS": str(settings.data.history_days),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_stops_at_once(process):
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == ExitCode.INTERRUPTED, errors


@pytest.mark.parametrize("job", ["data-sync", "sentiment-macro"])
def test_the_first_request_waits_for_a_ban_with_the_watchdog_fed_until_told_to_stop(
    simulator_factory, settings_for, tmp_path, job
):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    state = settings.paths.exchange_state / "weight.state"
    state.parent.mkdir(parents=True)
    now = venue.clock.now_ms()
    state.write_text(json.dumps({"window": now // MINUTE, "used": 0, "ban_until_ms": now + MINUTE}))
    supervisor = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(supervisor)
        listening.settimeout(20)
        with started(job, settings, supervisor=supervisor) as process:
            for _ in range(3):  # a STATUS line feeds the watchdog too: only bare ones are counted
                while listening.recv(2000) != b"WATCHDOG=1":
                    pass
            assert venue.stats["requests"] == 1  # for the time, before the exchange's minute was known
            assert_stops_at_once(process)
    assert venue.stats["requests"] == 1


def test_workers_that_wait_for_the_weight_limit_stop_at_once(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    with started("data-sync", settings, "--set", "exchange.weight_limit_share=0.005") as process:
        seen, since = 0, time.monotonic()
        while seen < 4 or time.monotonic() - since < 1.0:
            assert process.poll() is None, process.communicate()
            if venue.stats["requests"] != seen:
                seen, since = venue.stats["requests"], time.monotonic()
            time.sleep(0.05)
        assert_stops_at_once(process)


class OneRefusesOthersWait:
    """A client for whose limit everybody waits until it is closed, but for one symbol."""

    def __init__(self):
        self.closed = threading.Event()
        self.waiting = threading.Event()

    def closed_candles(self, symbol, timeframe, **_):
        if symbol == "BADUSDT":
            assert self.waiting.wait(5)
            raise Refuse("451: not served here")
        self.waiting.set()
        if not self.closed.wait(5):
            return np.zeros(0, dtype=FULL_CANDLE)
        raise Interrupted("stopped while waiting for the exchange's rate limit")

    def close(self):
        self.closed.set()


def test_the_client_is_closed_before_its_workers_are_waited_for(settings_for):
    settings = settings_for("http://127.0.0.1:9")
    client, job = OneRefusesOthersWait(), Job("data-sync", settings, Reporter("data-sync"))
    hour = Timeframe.H1.ms
    plans = [
        SeriesPlan(symbol=symbol, timeframe=Timeframe.H1, ranges=((0, hour),), last=hour)
        for symbol in ("BADUSDT", "BTCUSDT", "ETHUSDT")
    ]
    attempts = Attempts(settings.sync, job.stopping, 1.0)
    with pytest.raises(Refuse, match="451"):
        fetch_all(client, plans, settings, attempts, job, lambda _: None)
    assert client.closed.is_set()


def test_fetching_ends_at_the_limit_though_its_workers_still_wait(settings_for):
    settings = settings_for("http://127.0.0.1:9")
    client, job = OneRefusesOthersWait(), Job("data-sync", settings, Reporter("data-sync"))
    plan = SeriesPlan(symbol="BTCUSDT", timeframe=Timeframe.H1, ranges=((0, 0),), last=0)
    attempts = Attempts(settings.sync, job.stopping, 1.0, limit_s=0.3)
    with pytest.raises(Retry, match="what was fetched is stored"):
        fetch_all(client, [plan], settings, attempts, job, lambda _: None)
    assert client.closed.is_set()


def test_a_wait_feeds_the_watchdog_from_the_jobs_own_thread_only(settings_for, monkeypatch):
    fed = []
    monkeypatch.setattr("futures_agent.program.progress.notify", fed.append)
    job = Job("data-sync", settings_for("http://127.0.0.1:9"), Reporter("data-sync"))
    worker = threading.Thread(target=job.still_waiting)
    worker.start()
    worker.join()
    assert fed == []
    job.still_waiting()
    assert fed == ["WATCHDOG=1"]
    job.stopping.set()
    with pytest.raises(Interrupted):
        job.still_waiting()


def test_a_symbol_the_exchange_refuses_does_not_stop_the_others(simulator_factory, settings_for, capsys):
    venue = simulator_factory()
    closed = '{"code":-4141,"msg":"Symbol is closed."}'
    venue.add_fault(Fault(status=400, count=1, path=KLINES, body=closed))
    settings = settings_for(venue.url, data__timeframes="D1")
    assert data_sync.run(settings) is ExitCode.FAILED
    line = capsys.readouterr().err
    assert "2/3 symbols" in line
    assert "the exchange refuses it: Symbol is closed. (-4141)" in line
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        stored = read_candles(db, Timeframe.D1, settings.data.symbols, 0, 2**62)
    assert sorted(candles.size for candles in stored.values()) == [0, 50, 50]
