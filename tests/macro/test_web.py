"""Asking a public data service: what a person is told, and what nobody may read."""

import threading

import pytest

from futures_agent.errors import Interrupted, Refuse, Retry
from futures_agent.macro.web import WebSource

SECRET = {"api_key": "planted0" * 4}


def test_an_answer_and_a_refusal_with_a_reason_come_back(service, make_web):
    service.will_answer((200, b"[1]"), (400, b"no"))
    web = make_web()
    assert web.get("/path", {"a": "b"}) == (200, b"[1]")
    assert web.get("/path", {}) == (400, b"no")
    assert service.requests[0] == ("/path", {"a": "b"})


@pytest.mark.parametrize("status", [403, 408, 429, 500, 503])
def test_trouble_is_worth_another_try(service, make_web, status):
    service.will_answer((status, b"", {"Retry-After": "7"}))
    with pytest.raises(Retry, match=f"HTTP {status}") as raised:
        make_web().get("/path", SECRET)
    assert raised.value.after_s == (7 if status == 429 else None)
    assert "planted" not in str(raised.value)


@pytest.mark.parametrize("status", [302, 401, 404])
def test_a_stranger_is_told_apart(service, make_web, status):
    service.will_answer((status, b"", {"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(Refuse, match=f"HTTP {status}, not an answer of the service; check macro.fred_url"):
        make_web().get("/path", SECRET)
    assert len(service.requests) == 1  # not followed


def test_no_error_shows_the_parameters(service, make_web):
    service.will_answer((None, b""))
    faults = []
    for web in (make_web(), make_web("http://127.0.0.1:1"), make_web("http://no.such.host.invalid")):
        with pytest.raises(Retry, match="no answer") as raised:
            web.get("/path", SECRET)
        faults.append(raised.value)
    assert all("/path" in str(fault) and "planted" not in str(fault) for fault in faults)
    assert all(fault.__cause__ is None and fault.__suppress_context__ for fault in faults)


def test_an_answer_that_does_not_end_is_given_up(service, make_web, monkeypatch):
    monkeypatch.setattr("futures_agent.macro.web._LONGEST_BODY", 100_000)
    service.will_answer((200, b"x" * 100_000), (200, b"x" * 100_001))
    assert len(make_web().get("/path", {}).body) == 100_000
    with pytest.raises(Retry, match="ReadTimeout"):
        make_web().get("/path", {})


def test_the_pace_is_kept_and_a_wait_ends_when_closed(service, make_web):
    waits = []
    web = make_web(requests_per_min=2, on_wait=lambda: (waits.append(1), web.close()))
    web.get("/path", {})
    web.get("/path", {})
    assert waits == []
    with pytest.raises(Interrupted, match="pace"):
        web.get("/path", {})
    assert waits == [1]
    assert len(service.requests) == 2


def test_what_is_older_than_a_minute_does_not_count(service, make_web, monkeypatch):
    now = [1000.0]
    web = make_web(requests_per_min=1)
    monkeypatch.setattr("futures_agent.macro.web.time.monotonic", lambda: now[0])
    web.get("/path", {})
    now[0] += 60.0
    web.get("/path", {})
    assert len(service.requests) == 2


def test_threads_take_turns(service):
    web = WebSource(service.url, "x", timeouts_s=(1, 1), requests_per_min=100, on_wait=lambda: None)
    threads = [threading.Thread(target=web.get, args=("/path", {})) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    web.close()
    assert len(service.requests) == 8
