"""Speaking to systemd: the datagrams of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send `state` to the service manager; silent where none listens.

    Parameters
    ----------
    state : str
        Lines such as `READY=1`, `STATUS=what is being done`, `WATCHDOG=1`; systemd expects UTF-8.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    # A supervisor that cannot be reached must not stop the work.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)
