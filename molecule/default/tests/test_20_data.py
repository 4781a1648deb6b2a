"""Candles: fetched, checked, and consistent whatever interrupts the work."""

import json

import pytest
from agent_host import DATABASE, HISTORY_DAYS, PYTHON, RESULTS, STATE, SYMBOLS

STEPS_MS = {"ohlcv_d1": 86_400_000, "ohlcv_h4": 14_400_000, "ohlcv_h1": 3_600_000}
PER_DAY = {"ohlcv_d1": 1, "ohlcv_h4": 6, "ohlcv_h1": 24}
FULL = {(table, symbol): HISTORY_DAYS * PER_DAY[table] for table in STEPS_MS for symbol in SYMBOLS}


@pytest.fixture(scope="class")
def exchange(agent):
    """The simulated exchange, for one class of tests."""
    with agent.simulator():
        yield


def exchange_time_ms(agent):
    program = "import requests; print(requests.get('http://127.0.0.1:8099/fapi/v1/time').text)"
    return json.loads(agent.run(f'{PYTHON} -c "{program}"'))["serverTime"]


@pytest.mark.usefixtures("exchange")
class TestSync:
    def test_runs_through_its_service(self, agent):
        assert agent.start("data-sync") == ("success", 0)

    def test_ran_as_its_user_in_its_slice(self, agent):
        agent.run("journalctl --sync")
        entry = agent.run("journalctl --unit=data-sync _COMM=agentctl --lines=1 --output=json")
        uid = agent.run("id -u agent-jobs")
        assert (json.loads(entry)["_UID"], json.loads(entry)["_SYSTEMD_SLICE"]) == (uid, "agent-jobs.slice")

    def test_stored_every_candle_of_the_history(self, agent):
        counts = agent.counts()
        assert counts.keys() == FULL.keys()
        # The window of whole days ends inside a bar, so one candle more or less may have closed in it.
        assert {key: count for key, count in counts.items() if abs(count - FULL[key]) > 1} == {}

    def test_stored_no_forming_candle(self, agent):
        now_ms = exchange_time_ms(agent)
        for table, step_ms in STEPS_MS.items():
            [[newest]] = agent.query(f"SELECT max(timestamp) FROM {table}")
            assert newest + step_ms <= now_ms < newest + 2 * step_ms + 60_000

    def test_status_tells_what_was_done(self, agent):
        status = agent.host.run("systemctl status --no-pager data-sync.service").stdout
        assert f'Status: "ok: {len(SYMBOLS)}/{len(SYMBOLS)} symbols' in status

    def test_the_timer_shows_the_outcome(self, agent):
        assert f"data-sync ok: {len(SYMBOLS)}/{len(SYMBOLS)} symbols" in agent.journal("data-sync.timer")

    def test_again_changes_nothing(self, agent):
        before = agent.counts()
        assert agent.start("data-sync") == ("success", 0)
        assert agent.counts() == before


def test_by_hand_it_runs_in_its_slice_as_its_user(agent):
    with agent.simulator("--latency-ms 500"):
        # A person's shell has no invocation id.
        agent.run("systemd-run --quiet --collect --unit=by-hand env --unset=INVOCATION_ID agentctl data-sync")
        shown = "systemctl show --property=User,Slice 'run-*.service'"
        expected = {"User=agent-jobs", "Slice=agent-jobs.slice"}
        agent.until(lambda: expected <= set(agent.run(shown).splitlines()), "the job in its slice")
        agent.until(lambda: agent.show("by-hand", "ActiveState") == "inactive", "its end")


class TestValidation:
    def test_passes(self, agent):
        assert agent.start("data-validation") == ("success", 0)
        assert "data-validation ok:" in agent.journal("data-validation.timer")
        assert agent.show("data-validation", "StatusText").startswith("ok:")

    def test_a_gap_that_cannot_be_repaired_blocks_the_backtest(self, agent):
        results = agent.run(f"ls {RESULTS}")
        plant_gap(agent)
        # The exchange is away; one attempt to reach it is enough for a test.
        with agent.drop_in("data-validation.service", "[Service]\nEnvironment=AGENT_SYNC__ATTEMPTS=1\n"):
            assert agent.start("data-validation") == ("exit-code", 1)
            assert "gap" in agent.show("data-validation", "StatusText")
        assert "data-validation failed:" in agent.journal("data-validation.timer")
        assert agent.start("backtest") == ("exit-code", 11)
        assert agent.show("backtest", "NRestarts") == "0"
        assert agent.show("backtest", "StatusText").startswith("blocked: data validation failed")
        assert agent.run(f"ls {RESULTS}") == results

    def test_with_the_exchange_back_it_repairs_and_lifts_the_block(self, agent):
        with agent.simulator():
            assert agent.start("data-validation") == ("success", 0)
        assert "repair:" in agent.show("data-validation", "StatusText")
        assert not agent.host.file(f"{STATE}/jobs/data-validation/BLOCKED").exists

    def test_a_sync_heals_a_gap_too(self, agent):
        before = agent.counts()
        plant_gap(agent)
        assert agent.counts() != before
        with agent.simulator():
            assert agent.start("data-sync") == ("success", 0)
        assert agent.counts() == before


def test_validation_waits_for_a_running_sync(agent):
    agent.run(f"rm {DATABASE}*")
    since = agent.now()
    with agent.simulator("--latency-ms 150"):
        agent.run("systemctl start --no-block data-sync data-validation")
        agent.until(
            lambda: "data-validation ok:" in agent.journal("data-validation.timer", since), "a verdict"
        )
        assert "data-sync ok:" in agent.journal("data-sync.timer", since)
        began = moment(agent, "data-validation", "InactiveExit")
        assert began < moment(agent, "data-sync", "ExecMainExit"), "the sync had ended before"
        assert "repairing" not in agent.journal("data-validation", since), "it judged a sync half done"


def moment(agent, unit, name):
    """Return a time stamp of a unit's last run, in microseconds since boot."""
    return int(agent.show(unit, f"{name}TimestampMonotonic"))


def plant_gap(agent):
    """Remove six hours of every second symbol, eight days back."""
    listed = ",".join(f"'{symbol}'" for symbol in SYMBOLS[::2])
    [[newest]] = agent.query("SELECT max(timestamp) FROM ohlcv_h1")
    first = newest - 8 * 24 * STEPS_MS["ohlcv_h1"]
    last = first + 5 * STEPS_MS["ohlcv_h1"]
    agent.write(f"DELETE FROM ohlcv_h1 WHERE symbol IN ({listed}) AND timestamp BETWEEN {first} AND {last}")


def test_sigterm_in_the_middle_leaves_a_consistent_database(agent):
    agent.run(f"rm {DATABASE}*")
    with agent.simulator("--latency-ms 300"):
        agent.run("systemctl start --no-block data-sync")
        agent.until(
            lambda: agent.host.file(DATABASE).exists and sum(agent.counts().values()) > 500, "first candles"
        )
        agent.run("systemctl stop data-sync")
        stored = agent.counts()
        assert 0 < sum(stored.values()) < sum(FULL.values()) - 2 * len(FULL), "the fault did not engage"
        assert agent.show("data-sync", "Result") == "success"
        assert agent.show("data-sync", "StatusText").startswith("interrupted:")
        agent.run("agentctl db check --full")
        for table, step_ms in STEPS_MS.items():
            for symbol, first, last, count in agent.query(
                f"SELECT symbol, min(timestamp), max(timestamp), count(*) FROM {table} GROUP BY symbol"
            ):
                assert count == (last - first) // step_ms + 1, f"{symbol}: a hole in {table}"
    with agent.simulator():
        assert agent.start("data-sync") == ("success", 0)
        assert agent.start("data-validation") == ("success", 0)
    assert {key: count for key, count in agent.counts().items() if abs(count - FULL[key]) > 1} == {}
