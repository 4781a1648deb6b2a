"""What the exchange says when it refuses: codes, texts and HTTP status, as its clients see them.

Source: the exchange's page of error codes (USDⓈ-M futures); the wording of some from live answers.
"""

from __future__ import annotations

# `{}` takes the values given to `refusal`, in order.
_TEXTS = {
    -1000: "An unknown error occured while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests; current limit is {} requests per minute. "
    "Please use the websocket for live updates to avoid polling the API.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Request throttled by system-level protection. "
    "Reduce-only/close-position orders are exempt. Please try again.",
    -1013: "INVALID_MESSAGE.",
    -1015: "Too many new orders; current limit is {} orders per {}.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1023: "Start time is greater than end time.",
    -1100: "Illegal characters found in parameter '{}'; legal range is '{}'.",
    -1101: "Too many parameters sent for this endpoint.",
    -1102: "Mandatory parameter '{}' was not sent, was empty/null, or malformed.",
    -1103: "An unknown parameter was sent.",
    -1104: "Not all sent parameters were read; read '{}' parameter(s) but was sent '{}'.",
    -1105: "Parameter '{}' was empty.",
    -1106: "Parameter '{}' sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1122: "Invalid symbol status.",
    -1125: "This listenKey does not exist.",
    -1127: "Lookup interval is too big.",
    -1128: "Combination of optional parameters invalid.",
    -1130: "Data sent for parameter '{}' is not valid.",
    -1136: "Invalid newOrderRespType",
    -2007: "Invalid callBack rate.",
    -2010: "NEW_ORDER_REJECTED",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2018: "Balance is insufficient.",
    -2019: "Margin is insufficient.",
    -2020: "Unable to fill.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2024: "Position is not sufficient.",
    -2025: "Reach max open order limit.",
    -2026: "This OrderType is not supported when reduceOnly.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -2028: "Leverage is smaller than permitted: insufficient margin balance.",
    -4001: "Price less than 0.",
    -4002: "Price greater than max price.",
    -4003: "Quantity less than zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id length should not be more than 36 chars",
    -4016: "Price is higher than mark price multiplier cap.",
    -4021: "{} is not valid depth limit",
    -4023: "Qty not increased by step size.",
    -4024: "Price is lower than mark price multiplier floor.",
    -4028: "Leverage {} is not valid",
    -4045: "Reach max stop order limit.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4050: "Cross balance insufficient.",
    -4051: "Isolated balance insufficient.",
    -4054: "Cannot add position margin: position is 0.",
    -4055: "Amount must be positive.",
    -4059: "No need to change position side.",
    -4060: "Invalid position side.",
    -4061: "Order's position side does not match user's setting.",
    -4062: "Invalid or improper reduceOnly value.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4082: "Invalid number of batch place orders: {}",
    # Text not documented, from here to -4107.
    -4105: "Only reduceOnly orders are allowed for this account.",
    -4106: "Only reduceOnly orders are allowed for this symbol.",
    -4107: "Only orders that reduce the position are allowed.",
    -4116: "clientOrderId is duplicated.",
    -4117: "stop order is triggering",
    -4118: "ReduceOnly Order Failed. Please check your existing position and open orders",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    -4130: "An open stop or take profit order with GTE and closePosition in the direction is existing.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit",
    -4135: "Invalid activation price",
    -4136: "Target strategy invalid for orderType {},closePosition {}",
    -4137: "Quantity must be zero with closePosition equals true",
    -4138: "Reduce only must be true with closePosition equals true",
    -4140: "Invalid symbol status for opening position",
    -4141: "Symbol is closed",
    -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions",
    -4164: "Order's notional must be no smaller than {} (unless you choose reduce only)",
    -4165: "Maximum time interval is {} days",
    -4183: "Price is higher than stop price multiplier cap. Limit price can't be higher than {}.",
    -4184: "Price is lower than stop price multiplier floor. Limit price can't be lower than {}.",
    -4189: "Only reduceOnly orders are allowed for now.",  # text not documented
    -4192: "Trade forbidden due to Cooling-off Period.",
    -4210: "Stop price is higher than price multiplier cap. Stop price can't be higher than {}.",
    -4211: "Stop price is lower than price multiplier floor. Stop price can't be lower than {}.",
    -4400: "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, "
    "please try again later.",
    -4401: "Compliance restricted account permission: can only place reduceOnly order.",
    -4509: "Time in Force (TIF) GTE can only be used with open positions. "
    "Please ensure that positions are available.",
    -4531: "Position mode cannot be changed: its synchronisation is blocked.",  # text not documented
    -5000: "Path {}, Method {} is invalid",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    -5024: "Symbol is not in trading status. Order amendment is not permitted.",
    -5025: "Only limit order is supported.",
    -5026: "Exceed maximum modify order limit.",
    -5027: "No need to modify the order.",
    -5028: "Timestamp for this request is outside of the ME recvWindow.",
    -5029: "Order's notional must be no smaller than {}",
    -5037: "Invalid price match",
    -5038: "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT",
    -5041: "No depth matches this BBO order",
    -5043: "A pending modification already exists for this order.",
    -5047: "Failed to modify the order: the original order is not reduce-only.",
}
# What is said with some codes in another case.
_OTHER_TEXTS = {
    -1003: "Way too much request weight used; IP banned until {}. "
    "Please use the websocket for live updates to avoid bans.",
    -1021: "Timestamp for this request was {}ms ahead of the server's time.",
    -1102: "Param '{}' or '{}' must be sent, but both were empty/null!",
    -1130: "parameter '{}' is invalid.",  # of statistics
}
_STATUS = {
    -1001: 503,
    -1003: 429,
    -1007: 408,
    -1008: 503,
    -1015: 429,
    -2014: 401,
    -2015: 401,
    -5000: 404,
}
CODES = frozenset(_TEXTS)


class VenueError(Exception):
    """A definite refusal, answered with the exchange's code and text."""

    def __init__(self, code: int, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


def refusal(code: int, *values: object, other: bool = False) -> VenueError:
    """Return the refusal of that code in the exchange's words.

    Parameters
    ----------
    values : objects
        Go into its text, in order.
    other : bool
        Its second text, where it has two.
    """
    text = (_OTHER_TEXTS if other else _TEXTS)[code]
    return VenueError(code, text.format(*values), status=_STATUS.get(code, 400))
