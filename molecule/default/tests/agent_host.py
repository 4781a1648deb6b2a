"""Asking a test host: every question is a command that runs on it."""

import contextlib
import json
import time
from pathlib import Path

import yaml

SCENARIO = Path(__file__).parents[1]
DEPLOYED = yaml.safe_load((SCENARIO / "molecule.yml").read_text())["provisioner"]["inventory"]["group_vars"][
    "agents"
]
TIMERS = sorted(path.name for path in (SCENARIO.parents[1] / "systemd").glob("*.timer"))
LIVE = "live-trading.service"
SERVICES = [LIVE, *(timer.replace(".timer", ".service") for timer in TIMERS)]
SYMBOLS = DEPLOYED["app_settings"]["data"]["symbols"]
HISTORY_DAYS = DEPLOYED["app_settings"]["data"]["history_days"]
STATE = "/var/lib/crypto-futures-agent"
DATABASE = f"{STATE}/db/crypto_agent.db"
RESULTS = f"{STATE}/backtest/results"
PYTHON = "/opt/crypto-futures-agent/current/bin/python"
START = "2025-06-28T10:20:00Z"  # of the simulated exchange: all three timeframes have a candle forming


class Agent:
    """What the tests say to a host.

    Parameters
    ----------
    host : testinfra.host.Host
    """

    def __init__(self, host):
        self.host = host

    def run(self, command, *, fails=False):
        """Run a command that must succeed (or, if so told, must not); return what it printed."""
        ran = self.host.run(command)
        assert (ran.rc != 0) == fails, f"{command}: exit {ran.rc}\n{ran.stdout}\n{ran.stderr}"
        return (ran.stdout + (ran.stderr if fails else "")).strip()

    def show(self, unit, name):
        """Return one property of a unit."""
        return self.run(f"systemctl show --property={name} --value {unit}")

    def journal(self, unit, since="-1h"):
        """Return the messages of a unit's journal, once they are all written."""
        self.run("journalctl --sync")
        return self.run(f"journalctl --no-pager --output=cat --unit={unit} --since='{since}'")

    def now(self):
        """Return the host's time, to ask the journal for what came after."""
        return self.run("date +'%Y-%m-%d %H:%M:%S.%6N'")

    def start(self, unit):
        """Start a unit and wait until it has ended; return its result and exit status."""
        self.host.run(f"systemctl start --wait {unit}")
        return self.show(unit, "Result"), int(self.show(unit, "ExecMainStatus"))

    def until(self, condition, what, seconds=60):
        """Wait until `condition()` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.2)

    def query(self, sql, user="agent-backtest"):
        """Return the rows of a query, asked read-only as a user that may only read."""
        program = (
            "import apsw,json,sys;"
            "db=apsw.Connection(sys.argv[1],flags=apsw.SQLITE_OPEN_READONLY);"
            "print(json.dumps([list(row) for row in db.execute(sys.argv[2])]))"
        )
        return json.loads(self.run(f"runuser -u {user} -- {PYTHON} -c '{program}' {DATABASE} \"{sql}\""))

    def write(self, sql):
        """Change the database behind the jobs' back, as the user that owns it."""
        program = (
            "import pathlib, sys; from futures_agent.store.database import open_writer;"
            "open_writer(pathlib.Path(sys.argv[1])).execute(sys.argv[2])"
        )
        self.run(f"runuser -u agent-jobs -- {PYTHON} -c '{program}' {DATABASE} \"{sql}\"")

    def counts(self):
        """Return how many candles each (table, symbol) has."""
        return {
            (table, symbol): count
            for table in ("ohlcv_d1", "ohlcv_h4", "ohlcv_h1")
            for symbol, count in self.query(f"SELECT symbol, count(*) FROM {table} GROUP BY symbol")
        }

    @contextlib.contextmanager
    def drop_in(self, unit, text):
        """Change a unit for one test."""
        path = f"/run/systemd/system/{unit}.d/90-test.conf"
        self.run(f"mkdir -p {Path(path).parent} && printf '%s' '{text}' > {path} && systemctl daemon-reload")
        try:
            yield
        finally:
            self.run(f"systemctl stop {unit}; rm {path}; systemctl daemon-reload")
            self.host.run(f"systemctl reset-failed {unit}")

    @contextlib.contextmanager
    def simulator(self, *options):
        """Run the exchange on this host, serving real candles where the scenario brought some."""
        recorded = self.host.run("ls /srv/candles/klines_1h.csv").rc == 0
        command = [
            "systemd-run --quiet --collect --unit=exchange-simulator",
            "--property=DynamicUser=yes --property=RuntimeDirectory=exchange-simulator",
            "agentctl simulator --port 8099 --url-file /run/exchange-simulator/url",
            f"--symbols {','.join(SYMBOLS)} --start {START}",
            *(["--data /srv/candles"] if recorded else []),
            *options,
        ]
        self.run(" ".join(command))
        try:
            self.until(
                lambda: self.host.run("test -e /run/exchange-simulator/url").rc == 0, "simulator answers"
            )
            yield
        finally:
            self.run("systemctl stop exchange-simulator")
