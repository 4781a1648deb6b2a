"""What systemd receives."""

from __future__ import annotations

import socket

import pytest

from futures_agent.program.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_sends_utf8(tmp_path, monkeypatch, abstract):
    name = f"@futures-agent-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if abstract else name)
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1\nSTATUS=60 × 3 …")
        assert listening.recv(200).decode() == "READY=1\nSTATUS=60 × 3 …"


def test_is_silent_without_a_listener(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")
