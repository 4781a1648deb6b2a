"""Speaking to systemd: the datagrams of sd_notify(3)."""

from __future__ import annotations

import sdnotify


def notify(state: str) -> None:
    """Send `state` to the service manager; silent where none listens.

    Parameters
    ----------
    state : str
        Lines such as `READY=1`, `STATUS=what is being done`, `WATCHDOG=1`.
    """
    # The library sends Latin-1, systemd takes UTF-8 only: the bytes of one spelled in the other.
    sdnotify.SystemdNotifier().notify(state.encode().decode("latin-1"))
