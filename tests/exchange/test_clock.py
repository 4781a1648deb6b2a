import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.errors import Refuse
from futures_agent.exchange.clock import ExchangeClock

T = 1_790_000_000_000


@given(
    scale=st.floats(0.5, 5000),
    there_s=st.floats(0, 5),
    back_s=st.floats(0, 5),
    later_s=st.floats(0, 100_000),
)
def test_never_ahead_of_the_exchange_nor_behind_by_more_than_it_says(scale, there_s, back_s, later_s):
    sent = 1000.0
    received = sent + there_s + back_s
    clock = ExchangeClock(scale)
    clock.sync(T, sent, received)  # the exchange read its clock there_s after sending

    def true_ms(mono_s: float) -> float:
        return T + (mono_s - sent - there_s) * 1000 * scale

    seen = clock.at_ms(received + later_s)
    assert seen <= true_ms(received + later_s) + 0.01
    assert seen + clock.uncertainty_ms >= true_ms(received + later_s)


@given(
    scale=st.floats(0.5, 5000),
    travel_s=st.lists(st.floats(0, 5), min_size=4, max_size=4),
    between_s=st.floats(0.01, 1000),
)
def test_the_pace_it_measures_encloses_the_true_one(scale, travel_s, between_s):
    """The exchange reads its clock at any moment of both requests."""
    clock = ExchangeClock(scale)
    read, received = 100.0 + travel_s[0], 100.0 + travel_s[0] + travel_s[1]
    clock.sync(T, 100.0, received)
    sent = received + between_s
    read_again = sent + travel_s[2]
    server_ms = int(T + (read_again - read) * 1000 * scale)
    least, most = clock.pace(server_ms, sent, read_again + travel_s[3])
    assert least <= scale * 1.000001
    assert most >= scale * 0.999999


def test_the_pace_of_another_clock():
    clock = ExchangeClock(60.0)
    clock.sync(T, 100.0, 100.2)
    least, most = clock.pace(T + 10_000, 110.2, 110.3)
    assert 0.96 < least < most < 1.01


def test_runs_with_its_scale():
    clock = ExchangeClock(60.0)
    clock.sync(T, 10.0, 10.0)
    assert clock.at_ms(10.0) == T
    assert clock.at_ms(12.0) == T + 120_000


def test_before_first_contact_the_hosts_clock_stands_in():
    clock = ExchangeClock()
    assert not clock.known
    assert abs(clock.now_ms() - time.time() * 1000) < 5_000
    clock.sync(T, time.monotonic(), time.monotonic())
    assert clock.known
    assert 0 <= clock.now_ms() - T < 5_000


def test_a_time_heard_in_a_message_moves_it_forward_and_never_back():
    clock = ExchangeClock(scale=0.001)
    clock.sync(1_790_000_000_000, time.monotonic(), time.monotonic())
    clock.advance_to(1_790_000_900_000)
    assert 0 <= clock.now_ms() - 1_790_000_900_000 < 1_000
    clock.advance_to(1_790_000_000_000)
    assert clock.now_ms() >= 1_790_000_900_000


def test_host_seconds_until():
    clock = ExchangeClock(1000.0)
    mono = time.monotonic()
    clock.sync(T, mono, mono)
    assert 99 < clock.host_seconds_until(T + 100_000_000) <= 100
    assert clock.host_seconds_until(T - 1) == 0


def test_saved_offset_gives_exchange_time_to_programs_without_network(tmp_path, monkeypatch):
    path = tmp_path / "exchange" / "clock.json"
    clock = ExchangeClock(10.0)
    mono = time.monotonic()
    clock.sync(T, mono, mono)
    monkeypatch.setattr("futures_agent.exchange.clock._wall_ms", lambda: 5_000_000.0)
    clock.save(path)
    saved = json.loads(path.read_bytes())
    assert saved["scale"] == 10.0
    assert saved["measured_at_ms"] == 5_000_000
    assert 0 <= saved["offset_ms"] - (T - 5_000_000) < 20_000
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["clock.json"]
    # Two host seconds later, in another process:
    monkeypatch.setattr("futures_agent.exchange.clock._wall_ms", lambda: 5_002_000.0)
    loaded = ExchangeClock.load(path)
    assert loaded.known
    assert loaded.scale == 10.0
    expected = 5_000_000 + saved["offset_ms"] + 20_000
    assert expected <= loaded.now_ms() < expected + 20_000


@pytest.mark.parametrize("content", [None, b"", b"{", b"null", b'{"offset_ms": "x"}', b"\x00" * 50])
def test_without_a_readable_file_the_hosts_clock(tmp_path, content):
    path = tmp_path / "clock.json"
    if content is not None:
        path.write_bytes(content)
    clock = ExchangeClock.load(path)
    assert not clock.known
    assert clock.scale == 1.0
    assert abs(clock.now_ms() - time.time() * 1000) < 5_000


def test_an_impossible_place_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refuse, match=r"paths\.state_dir"):
        ExchangeClock().save(tmp_path / "file" / "clock.json")
