"""The Fear & Greed Index: one value a day, oldest first."""

import json

import pytest

from futures_agent.errors import Refuse, Retry
from futures_agent.macro.fear_greed import fear_greed

DAY_S = 86_400
DAY = 1_551_139_200  # 2019-02-26


def document(*rows):
    data = [{"value": value, "value_classification": "Fear", "timestamp": str(at)} for value, at in rows]
    return json.dumps({"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}}).encode()


def test_values_come_oldest_first_and_without_a_day_of_publication(service, make_web):
    service.will_answer((200, document(("40", DAY), ("39", DAY - DAY_S))))
    assert fear_greed(make_web(), 30) == [("2019-02-25", 39.0, None), ("2019-02-26", 40.0, None)]
    assert service.requests == [("/fng/", {"limit": "30", "format": "json"})]


@pytest.mark.parametrize(
    "body",
    [
        document(("101", DAY)),
        document(("-1", DAY)),
        document(("nan", DAY)),
        document(("fear", DAY)),
        document(("40", DAY + 1)),
        document(("40", 10**30)),
        document(("40", "today")),
        b"[]",
        b"<html>",
    ],
)
def test_an_answer_with_one_wrong_value_is_not_used(service, make_web, body):
    service.will_answer((200, body))
    with pytest.raises(Retry, match="not used"):
        fear_greed(make_web(), 30)


def test_a_refusal(service, make_web):
    service.will_answer((400, b""))
    with pytest.raises(Refuse, match="refuses the request"):
        fear_greed(make_web(), 30)
