"""The exchange's Python client (USDⓈ-M futures), asked over pipes; `sdk_program.py URL KEY SECRET`.

A question is {"call": method of its REST API, or send, "with": arguments}; key and secret may be replaced for
one question. The answer holds the data as the client's models gave them, and what the client complained of:
an answer that does not fit its model is logged by it, not raised.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from binance_common.configuration import ConfigurationRestAPI
from binance_common.errors import Error
from binance_common.utils import send_request
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)
from pydantic import BaseModel


def listen_to_complaints() -> list[str]:
    """Return a list that grows by each line that is logged as a warning or worse."""
    lines: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger().addHandler(listener)
    return lines


def plain(value: Any) -> Any:
    """Return models as JSON with the exchange's names."""
    if isinstance(value, BaseModel):
        inner = getattr(value, "actual_instance", None)  # one of several models
        return plain(inner) if inner is not None else value.model_dump(mode="json", by_alias=True)
    return [plain(each) for each in value] if isinstance(value, list) else value


def called(rest: Any, configuration: ConfigurationRestAPI, question: dict[str, Any]) -> Any:
    """Call a method; `send` is what all of them call in the end, with parameters that none of them allows.

    The method that the client offers for this, send_signed_request, fails at a slip of its own.
    """
    if question["call"] != "send":
        return getattr(rest, question["call"])(**question.get("with", {}))
    return send_request(rest._session, configuration, **question["with"], is_signed=True)


def answered(url: str, key: str, secret: str, question: dict[str, Any]) -> dict[str, Any]:
    """Ask the exchange once."""
    configuration = ConfigurationRestAPI(
        api_key=question.get("key", key),
        api_secret=question.get("secret", secret),
        base_path=url,
        timeout=5000,
        retries=0,
    )
    rest = DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api
    try:
        response = called(rest, configuration, question)
    except Error as error:
        return {
            "error": type(error).__name__,
            "code": getattr(error, "status_code", None),
            "text": getattr(error, "error_message", ""),
        }
    limits = [limit.model_dump(mode="json") for limit in response.rate_limits or []]
    return {"data": plain(response.data()), "limits": limits}


def main() -> None:
    """Answer until the input ends."""
    complaints = listen_to_complaints()
    for line in sys.stdin:
        answer = answered(*sys.argv[1:4], json.loads(line))
        print(json.dumps({**answer, "complaints": complaints}), flush=True)
        complaints.clear()


if __name__ == "__main__":
    main()
