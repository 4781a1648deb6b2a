"""The file that holds every entry of a venue's ledger."""

from __future__ import annotations

from pathlib import Path

from futures_agent.errors import Refuse, Retry
from futures_agent.files import append_line, explain_os_error


class LedgerFile:
    """JSON lines, one to an entry, to which this run alone appends.

    A disk that fails must not stop an exchange in the middle of a trade: the file then ends with a whole
    line, nothing follows in it, and `fault` says why.

    Attributes
    ----------
    fault : str
        Why the file is incomplete; empty while it is not.

    Raises
    ------
    Refuse
        The file is there already, or it may not be written.
    Retry
        The disk is full or failing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("xb").close()
        except OSError as error:
            if path.is_file():
                raise Refuse(
                    f"simulator: the ledger {path} is there already, of an earlier run; name another"
                ) from None
            raise explain_os_error(error, path) from None

    def append(self, line: bytes) -> None:
        """Append one line, given without its end."""
        if self.fault:
            return
        try:
            append_line(self.path, line, durable=False)
        except (Refuse, Retry) as error:
            self.fault = str(error)
