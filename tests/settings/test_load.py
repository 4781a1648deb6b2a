"""Settings: three sources, and one clear line for everything that is wrong with them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from futures_agent.errors import ExitCode, Refuse
from futures_agent.execution.margin import MAINTENANCE_MARGIN
from futures_agent.settings import RiskSettings, Settings, load


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "agent.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_are_those_of_the_product(config):
    settings = load(config(""), {}).settings
    assert len(settings.data.symbols) == len(set(settings.data.symbols)) == 60
    assert settings.data.timeframes == ("D1", "H4", "H1")
    assert settings.exchange.weight_limit_share == 0.5
    assert (settings.gate.min_trades, settings.gate.min_profit_factor) == (30, 1.1)
    assert str(settings.paths.database) == "/var/lib/crypto-futures-agent/db/crypto_agent.db"


def test_environment_wins_over_file_and_command_line_over_both(config):
    path = config("[exchange]\nconcurrency = 3\n")
    assert load(path, {}).settings.exchange.concurrency == 3
    environ = {"AGENT_EXCHANGE__CONCURRENCY": "7"}
    assert load(path, environ).settings.exchange.concurrency == 7
    effective = load(path, environ, {"exchange.concurrency": "9"})
    assert effective.settings.exchange.concurrency == 9
    assert effective.origins["exchange.concurrency"] == "--set exchange.concurrency"


def test_the_settings_file_can_be_named_by_a_variable(config):
    path = config("[log]\nlevel = 'ERROR'\n")
    assert load(None, {"AGENT_CONFIG": str(path)}).settings.log.level == "ERROR"


def test_a_named_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(Refuse, match=r"absent\.toml: settings file not found"):
        load(tmp_path / "absent.toml", {})


def test_names_from_before_keep_working_and_lose_against_new_ones(config):
    environ = {
        "LOG_LEVEL": "DEBUG",
        "SQLITE_WAL_MODE": "1",
        "SQLITE_CACHE_MB": "64",
        "STALENESS_ALERT_THRESHOLD_H1": "5.5",
        "BACKTEST_ENABLED": "0",
        "BACKTEST_ISOLATED": "1",
        "BACKTEST_DAYS": "90",
        "AGENT_BACKTEST__DAYS": "120",
    }
    settings = load(config(""), environ).settings
    assert settings.log.level == "DEBUG"
    assert settings.database.cache_mb == 64
    assert settings.data.stale_after_h_h1 == 5.5
    assert settings.backtest.enabled is False
    assert settings.backtest.days == 120


def test_lists_and_tables_can_come_from_the_environment(config):
    environ = {"AGENT_DATA__SYMBOLS": "BTCUSDT, ETHUSDT", "AGENT_STRATEGY__PARAMS": '{"fast": 10}'}
    settings = load(config(""), environ).settings
    assert settings.data.symbols == ("BTCUSDT", "ETHUSDT")
    assert settings.strategy.params == {"fast": 10}


@pytest.mark.parametrize(
    ("text", "environ", "line"),
    [
        ("[exchange]\nrest_ulr = 'x'", {}, "agent.toml: unknown setting 'exchange.rest_ulr'"),
        ("[exchang]\nx = 1", {}, "agent.toml: unknown setting 'exchang'"),
        ("[exchange]\nconcurrency = '5'", {}, "agent.toml: exchange.concurrency: Expected `int`, got `str`"),
        ("[data]\ncoverage_min = 1.5", {}, "agent.toml: data.coverage_min: Expected `float` <= 1.0"),
        ("[data]\nsymbols = ['a b']", {}, "agent.toml: data.symbols"),
        ("exchange = 5", {}, "agent.toml: exchange: Expected `object`"),
        ("exchange = 5", {"AGENT_EXCHANGE__CONCURRENCY": "1"}, "agent.toml: exchange: expected a table"),
        ("a = = 1", {}, "agent.toml: not valid TOML"),
        (
            "",
            {"AGENT_EXCHANGE__CONCURRENCY": "x"},
            "variable AGENT_EXCHANGE__CONCURRENCY: exchange.concurrency",
        ),
        ("", {"AGENT_EXCHANGE__NAME": "x"}, "variable AGENT_EXCHANGE__NAME: no setting 'exchange.name'"),
        ("", {"AGENT_NOWHERE__NAME": "x"}, "variable AGENT_NOWHERE__NAME: no settings section 'nowhere'"),
        (
            "",
            {"AGENT_STRATEGY__PARAMS": "fast"},
            "variable AGENT_STRATEGY__PARAMS: strategy.params: expected JSON",
        ),
        ("", {"BACKTEST_TYPO": "1"}, "variable BACKTEST_TYPO: no setting 'backtest.typo'"),
        (
            "",
            {"LOG_LEVEL": "LOUD"},
            "variable LOG_LEVEL: log.level: expected DEBUG, INFO, WARNING, ERROR or CRITICAL, found 'LOUD'",
        ),
        ("[log]\nlevel = 'INFO\\n'", {}, "agent.toml: log.level"),
        ("[backtest]\nstart_time_utc = '24:00'", {}, "agent.toml: backtest.start_time_utc: expected HH:MM"),
        (
            "",
            {"AGENT_EXCHANGE_REST_URL": "http://127.0.0.1"},
            "variable AGENT_EXCHANGE_REST_URL: no such setting; write AGENT_SECTION__KEY",
        ),
        ("", {"AGENT_CONFIG_": "x"}, "variable AGENT_CONFIG_: no such setting"),
        ("", {"AGENT_STRATEGY__PARAMS.FAST": "1"}, "only section.key can be set; put tables into agent.toml"),
        ("", {"SQLITE_WAL_MODE": "0"}, "variable SQLITE_WAL_MODE: only 1 is possible"),
    ],
)
def test_bad_input_is_one_line_that_names_key_and_source(config, text, environ, line):
    with pytest.raises(Refuse) as caught:
        load(config(text), environ)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.CONFIG


def test_unreadable_file_is_refused(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Refuse, match="cannot read the settings file"):
        load(path, {})


def test_rows_show_every_setting_with_its_origin(config):
    path = config("[backtest]\ndays = 30\n")
    rows = {key: (value, origin) for key, value, origin in load(path, {}).rows()}
    assert rows["backtest.days"] == (30, str(path))
    assert rows["backtest.enabled"] == (True, "default")


@pytest.mark.parametrize(
    ("written", "level"), [("info", "INFO"), ("Warn", "WARN"), ("critical", "CRITICAL"), ("ERROR", "ERROR")]
)
def test_the_log_level_may_be_written_in_any_case(config, written, level):
    assert load(config(""), {"LOG_LEVEL": written}).settings.log.level == level
    assert load(config(f"[log]\nlevel = '{written}'"), {}).settings.log.level == level


URLS = ["exchange.rest_url", "macro.fred_url", "macro.fear_greed_url"]


@pytest.mark.parametrize("key", URLS)
@pytest.mark.parametrize(
    "url",
    [
        "http://user:SECRET@127.0.0.1:8080",
        "http://SECRET@127.0.0.1",
        "http://127.0.0.1/?key=SECRET",
        "http://127.0.0.1?key=SECRET",
        "http://127.0.0.1/x#SECRET",
        "http://user:SECRET\\@127.0.0.1",
        "ftp://SECRET",
    ],
)
def test_an_address_with_credentials_is_refused_and_not_repeated(config, key, url):
    section, _, name = key.partition(".")
    variable = f"AGENT_{section.upper()}__{name.upper()}"
    for text, environ, overrides in (
        (f"[{section}]\n{name} = '{url}'", {}, {}),
        ("", {variable: url}, {}),
        ("", {}, {key: url}),
    ):
        with pytest.raises(Refuse, match=rf"{key}: expected http\(s\)://host.*, without user") as caught:
            load(config(text), environ, overrides)
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://fapi.binance.com", "http://[::1]:8080/base/", "http://10.0.0.1:80"])
def test_addresses_with_port_and_path_are_taken(config, url):
    assert load(config(f"[exchange]\nrest_url = '{url}'"), {}).settings.exchange.rest_url == url


def numbers(kind: type) -> list[str]:
    """Return the key of every setting that is or holds a number of `kind`."""
    sections = {each.name: each.type for each in msgspec.structs.fields(Settings)}
    return [
        f"{section}.{each.name}"
        for section, tree in sections.items()
        for each in msgspec.structs.fields(tree)
        if kind in types_within(msgspec.inspect.type_info(each.type))
    ]


def types_within(info: Any) -> set[type]:
    found: set[type] = set()
    if isinstance(info, msgspec.inspect.FloatType):
        found = {float}
    elif isinstance(info, msgspec.inspect.IntType):
        found = {int}
    elif isinstance(info, msgspec.inspect.VarTupleType):
        found = types_within(info.item_type)
    elif isinstance(info, msgspec.inspect.DictType):
        found = types_within(info.value_type)
    return found


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300"])
@pytest.mark.parametrize("key", numbers(float))
def test_no_float_is_taken_that_is_not_finite_and_sensible(config, key, value):
    assert_refused_everywhere(config, key, value)


@pytest.mark.parametrize("value", [str(2**63 - 1), str(2**70), str(-(2**70))])
@pytest.mark.parametrize("key", numbers(int))
def test_no_whole_number_is_taken_that_would_overflow(config, key, value):
    assert_refused_everywhere(config, key, value)


def assert_refused_everywhere(config: Any, key: str, value: str) -> None:
    section, _, name = key.partition(".")
    default = getattr(getattr(Settings(), section), name)
    in_toml, in_text = value, value
    if isinstance(default, tuple):
        in_toml = f"[{value}]"
    elif isinstance(default, dict):
        in_toml, in_text = f"{{X = {value}}}", f'{{"X": {value}}}'
    variable = f"AGENT_{section.upper()}__{name.upper()}"
    for text, environ, overrides in (
        (f"[{section}]\n{name} = {in_toml}", {}, {}),
        ("", {variable: in_text}, {}),
        ("", {}, {key: in_text}),
    ):
        with pytest.raises(Refuse, match=key) as caught:
            load(config(text), environ, overrides)
        assert "\n" not in str(caught.value)


def test_the_walk_over_the_numbers_finds_them():
    floats, whole = numbers(float), numbers(int)
    assert {"exchange.time_scale", "sentiment.retry_waits_s", "macro.publication_lag_d"} <= set(floats)
    assert {"database.cache_mb", "risk.max_positions"} <= set(whole)
    assert len(floats) > 40


def test_the_defaults_keep_to_their_own_bounds():
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()


def test_the_highest_leverage_leaves_room_before_liquidation(config):
    with pytest.raises(Refuse, match=r"risk\.max_leverage: Expected `float` <= 20"):
        load(config("[risk]\nmax_leverage = 40"), {})
    highest = load(config("[risk]\nmax_leverage = 20"), {}).settings.risk
    assert isinstance(highest, RiskSettings)
    assert highest.max_leverage <= 0.5 / MAINTENANCE_MARGIN
