"""The status screen: what a person sees in each state of the host."""

import msgspec
import pytest

from futures_agent.errors import ExitCode
from futures_agent.health.screen import print_status
from futures_agent.health.status import JOBS, gather
from futures_agent.jobs import data_sync, data_validation
from futures_agent.program.blocks import set_block
from futures_agent.program.holds import set_hold
from futures_agent.settings import PathSettings, Settings


@pytest.fixture
def screen(capsys):
    def show(settings):
        print_status(gather(settings))
        return capsys.readouterr().out

    return show


@pytest.fixture
def words(screen):
    """The screen as one run of words: a narrow terminal breaks lines anywhere."""

    def show(settings):
        return " ".join(screen(settings).replace("│", " ").split())

    return show


def test_an_empty_host_says_what_to_do(tmp_path, screen):
    text = screen(Settings(paths=PathSettings(state_dir=str(tmp_path))))
    assert "agentctl data-sync" in text
    assert text.count("never") == len(JOBS)
    assert "`agentctl backtest` runs one now" in text


def test_a_filled_host_shows_freshness_coverage_and_runs(simulator_factory, tmp_path, screen, capsys):
    venue = simulator_factory()
    settings = small(tmp_path, venue.url)
    assert data_sync.run(settings) is ExitCode.OK
    assert data_validation.run(settings) is ExitCode.OK
    capsys.readouterr()
    text = screen(settings)
    rows = {line.split()[1]: line for line in text.splitlines() if len(line.split()) > 1}
    assert "2/2" in rows["H1"]
    assert "100.0%" in rows["H1"]
    assert "20 min ago" in rows["H1"]  # the venue's clock stands at 14:20
    assert "960" in rows["H1"]
    assert "good: fresh, complete, without gaps" in text
    assert "ok" in rows["data-sync"]
    status = msgspec.json.decode(msgspec.json.encode(gather(settings)))
    assert status["data"]["frames"][0]["covered"] == 2


def test_holds_blocks_and_damage_are_seen(tmp_path, words):
    settings = Settings(paths=PathSettings(state_dir=str(tmp_path)))
    set_hold(settings.paths.holds, "backtest", "new fees [/ops/1]")
    set_block(settings.paths.job("data-validation"), ["H1: coverage 10%"])
    settings.paths.results.mkdir(parents=True)
    (settings.paths.results / "latest.json").write_text("{")
    settings.paths.database.parent.mkdir()
    settings.paths.database.write_bytes(b"no database" * 1000)
    text = words(settings)
    assert "held" in text
    assert "new fees [/ops/1]" in text
    assert "H1: coverage 10%" in text
    assert "not a backtest result" in text
    assert "crypto_agent.db" in text


def small(tmp_path, url):
    defaults = Settings()
    return Settings(
        paths=PathSettings(state_dir=str(tmp_path)),
        exchange=msgspec.structs.replace(defaults.exchange, rest_url=url),
        data=msgspec.structs.replace(defaults.data, symbols=("BTCUSDT", "ETHUSDT"), history_days=20),
    )
