"""Traders that are broken on purpose: what the live campaign must not fail to see."""

from __future__ import annotations

from typing import Any

from futures_agent.exchange.orders import Answer
from futures_agent.live.clerk import Clerk
from futures_agent.live.desk import Desk
from futures_agent.live.inbox import AuditTaken
from futures_agent.live.records import Record, Sent
from futures_agent.live.steps import Step, reached
from futures_agent.live.trader import Trader


def send_before_the_journal() -> None:
    """Every request is on the wire, and answered, before it is in the journal."""
    write, answers = Clerk._write, dict[str, Answer]()

    def sent_first(clerk: Clerk, record: Record) -> bool:
        if isinstance(record, Sent):
            answers[record.request.client_id] = clerk._broker.send(record.request)
            reached(Step.SENT)
        return write(clerk, record)

    def answer(clerk: Clerk, request: Any) -> None:
        clerk._on_answer(answers[request.client_id])

    Clerk._write, Clerk._send = sent_first, answer


def believe_what_was_under_way() -> None:
    """A start does not doubt the requests of the life before: their answers are waited for."""
    Desk._start = lambda desk, record: None


def ask_for_no_fills() -> None:
    """A look at the account leaves out the fills that happened while nobody listened."""
    reconcile = Trader._reconcile

    def without(trader: Trader, taken: AuditTaken) -> None:
        reconcile(trader, taken._replace(fills=()))

    Trader._reconcile = without
