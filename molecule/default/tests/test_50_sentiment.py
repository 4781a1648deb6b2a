"""Sentiment and macro series, with a key and without; and where the key is never seen."""

import pytest
from agent_host import DEPLOYED, STATE, SYMBOLS

KEY = DEPLOYED["app_credentials"]["fred_api_key"]
KEY_FILE = "/etc/crypto-futures-agent/credentials/fred_api_key"
pytestmark = pytest.mark.usefixtures("candles")


def series(agent):
    """Return the stored macro series."""
    return {name for [name] in agent.query("SELECT DISTINCT series FROM macro_data")}


def test_only_root_reads_the_key(agent):
    assert agent.run(f"stat --format='%U %a' {KEY_FILE}") == "root 600"
    assert agent.run(f"cat {KEY_FILE}") == KEY
    for user in ("agent-jobs", "agent-backtest", "nobody"):
        agent.run(f"runuser -u {user} -- cat {KEY_FILE}", fails=True)


def test_without_a_key_it_says_so_and_collects_the_rest(agent):
    since = agent.now()
    agent.write("DELETE FROM macro_data")
    agent.run(f"mv {KEY_FILE} /root/key")
    try:
        with agent.simulator():
            assert agent.start("sentiment-macro") == ("success", 0)
    finally:
        agent.run(f"mv /root/key {KEY_FILE}")
    assert (
        "sentiment-macro ok: FRED dead: no key; give the unit the credential fred_api_key"
        in agent.journal("sentiment-macro.timer", since)
    )
    found = dict(agent.query("SELECT symbol, count(open_interest) FROM sentimento_mercado GROUP BY symbol"))
    assert found.keys() == set(SYMBOLS)
    assert all(count > 24 for count in found.values())
    assert len(series(agent)) == 1, "the index alone"


def test_with_it_the_rest_comes_and_nobody_sees_it(agent):
    with agent.simulator("--latency-ms 1000"):
        agent.run("systemctl start --no-block sentiment-macro")
        agent.until(lambda: agent.show("sentiment-macro", "ActiveState") == "active", "the job at work")
        environment = agent.run(f"cat /proc/{agent.show('sentiment-macro', 'MainPID')}/environ")
        assert "CREDENTIALS_DIRECTORY=" in environment, "it had ended before anybody looked"
        agent.run(f"grep --text --quiet --no-messages {KEY} /proc/[0-9]*/environ", fails=True)
        assert KEY not in agent.run("systemctl show sentiment-macro")
        agent.until(lambda: agent.show("sentiment-macro", "ActiveState") == "inactive", "its end", 120)
    assert agent.show("sentiment-macro", "Result") == "success"
    assert len(series(agent)) > 5, "the key was used"
    # All of it, so that the deploy which wrote the file is judged too.
    agent.run(f"journalctl --sync; journalctl --output=export | grep --text --quiet {KEY}", fails=True)
    agent.run(f"grep --recursive --text --quiet {KEY} {STATE}", fails=True)


def test_by_hand_it_has_the_key_too(agent):
    with agent.simulator():
        said = agent.run("agentctl sentiment-macro")
    assert said.startswith("sentiment-macro ok: new: "), "no source is dead"
