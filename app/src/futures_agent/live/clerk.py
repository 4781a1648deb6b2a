"""The clerk: the one way into the journal and the desk, and from the desk to the broker.

Everything that the desk is told is in the journal first; everything that it asks for is in the journal
before it is on the wire. All of it happens in the work loop; only the requests themselves are sent from
threads, so that a slow answer for one symbol keeps no other from its stop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from futures_agent.clock import Clock
from futures_agent.errors import AgentError, Refuse, Retry
from futures_agent.exchange.orders import Answer, PlaceMarket, Request
from futures_agent.exchange.outcome import Outcome
from futures_agent.live.broker import Broker
from futures_agent.live.desk import Desk
from futures_agent.live.journal import Journal
from futures_agent.live.records import (
    Answered,
    EntryWanted,
    ExitWanted,
    Happened,
    Incident,
    Reconciled,
    Record,
    Sent,
)
from futures_agent.live.steps import Step, reached
from futures_agent.program.incidents import IncidentLog

_log = logging.getLogger(__name__)
_SENDERS = 4
_MOST_AT_ONCE = 1_000  # records of one turn; more means that the desk goes round in circles

_STEP_OF = {
    EntryWanted: Step.WANTED,
    ExitWanted: Step.WANTED,
    Sent: Step.JOURNALED,
    Answered: Step.ANSWERED,
    Happened: Step.RECORDED,
    Reconciled: Step.RECONCILED,
}


class Clerk:
    """Records what happens and has done what follows.

    Parameters
    ----------
    journal, desk, broker
    clock : Clock
        Exchange time.
    incidents : IncidentLog
    on_answer : callable
        Given each answer, from a sender's thread.
    on_record : callable
        Given each record once the desk knows it.

    Attributes
    ----------
    fault : str
        Why the journal is not written; empty while it is. Nothing is opened meanwhile.
    incident_count : int
        Since the start.
    in_flight : int
        Requests that have not been answered.
    """

    def __init__(
        self,
        journal: Journal,
        desk: Desk,
        broker: Broker,
        clock: Clock,
        incidents: IncidentLog,
        on_answer: Callable[[Answer], None],
        on_record: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.desk = desk
        self._on_record = on_record
        self._journal = journal
        self._broker = broker
        self._clock = clock
        self._incidents = incidents
        self._on_answer = on_answer
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="sender")
        self._unwritten: list[Record] = []
        self.fault = ""
        self.incident_count = 0
        self.in_flight = 0

    def record(self, record: Record) -> None:
        """Write a record, let the desk know, and do what it says."""
        durable = self._write(record)
        reached(_STEP_OF.get(type(record), Step.RECORDED), _kind(record))
        self.desk.apply(record)
        self._on_record(record)
        if isinstance(record, Answered):
            self.in_flight -= 1
        elif isinstance(record, Incident):
            self._report(record)
        elif isinstance(record, Sent):
            self.in_flight += 1
            if durable or not _opens(record.request):
                self._senders.submit(self._send, record.request)
            else:  # what is not in the journal must not be opened; what protects must not wait for a disk
                words = f"not sent: {self.fault}"
                self._on_answer(Answer(request=record.request, outcome=Outcome.NOT_EXECUTED, message=words))

    def settle(self) -> None:
        """Have done whatever is due now."""
        for _ in range(_MOST_AT_ONCE):
            due = self.desk.due(self._clock.now_ms())
            if not due:
                return
            for record in due:
                self.record(record)
        _log.error("the desk asked for more than %d things at once; the rest waits", _MOST_AT_ONCE)

    def close(self, *, wait: bool = True) -> None:
        """Let the senders end; answers that come later are not recorded."""
        self._senders.shutdown(wait=wait, cancel_futures=True)
        self._journal.close()

    def _write(self, record: Record) -> bool:
        """Append to the journal, in order; return whether `record` is on the disk now."""
        self._unwritten.append(record)
        try:
            while self._unwritten:
                self._journal.append(self._unwritten[0])
                del self._unwritten[0]
        except (Retry, Refuse) as error:
            if not self.fault:
                _log.error("journal: %s; nothing is opened until it is written again", error)
            self.fault = str(error)
            return False
        if self.fault:
            _log.warning("journal: written again")
            self.fault = ""
        return True

    def _send(self, request: Request) -> None:
        """Send from a thread; whatever goes wrong is an answer."""
        try:
            answer = self._broker.send(request)
        except AgentError as error:
            answer = Answer(request=request, outcome=Outcome.UNKNOWN, message=str(error))
        except Exception as error:  # a bug must not leave a request unanswered
            _log.exception("sending %s", type(request).__name__)
            words = f"{type(error).__name__}: {error}"
            answer = Answer(request=request, outcome=Outcome.UNKNOWN, message=words)
        reached(Step.SENT, type(request).__name__)
        self._on_answer(answer)

    def _report(self, incident: Incident) -> None:
        self.incident_count += 1
        _log.critical("%s %s: %s", incident.kind, incident.symbol, incident.text)
        try:
            self._incidents.open(
                incident.kind, what=incident.text, evidence=incident.symbol, at_ms=incident.at_ms
            )
        except AgentError as error:  # the journal has it
            _log.error("incident not recorded: %s", error)


def _opens(request: Request) -> bool:
    return isinstance(request, PlaceMarket) and not request.reduce_only


def _kind(record: Record) -> str:
    if isinstance(record, Sent):
        return type(record.request).__name__
    if isinstance(record, Answered):
        return type(record.answer.request).__name__
    if isinstance(record, Happened):
        return type(record.seen).__name__
    return type(record).__name__
