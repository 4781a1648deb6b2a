"""Orders at hand by id, contract and client's id: whatever is put there and taken away."""

from __future__ import annotations

import random

from futures_agent.simulator.trading.records import ZERO, Order
from futures_agent.simulator.trading.shelf import Shelf

SYMBOLS, NAMES = ("BTCUSDT", "ETHUSDT"), ("a", "b", "c")


def order(number: int, symbol: str, client_id: str) -> Order:
    return Order(
        order_id=number,
        client_order_id=client_id,
        symbol=symbol,
        side="BUY",
        type="LIMIT",
        position_side="BOTH",
        quantity=ZERO,
        price=ZERO,
        time_in_force="GTC",
        reduce_only=False,
        close_position=False,
        created_ms=0,
        updated_ms=0,
    )


def test_a_shelf_answers_as_a_search_through_all_does() -> None:
    rng = random.Random(7)
    shelf: Shelf[tuple[str, int], Order] = Shelf()
    plain: dict[tuple[str, int], Order] = {}
    for number in range(2_000):
        if plain and rng.random() < 0.45:
            key = rng.choice(list(plain))
            if rng.random() < 0.3:  # it queues anew
                plain[key] = plain.pop(key)
                shelf[key] = shelf.pop(key)
            else:
                assert shelf.pop(key) is plain.pop(key)
        else:
            made = order(number, rng.choice(SYMBOLS), rng.choice(NAMES))
            plain[made.symbol, number] = shelf[made.symbol, number] = made
        assert list(shelf.items()) == list(plain.items())
        for symbol in SYMBOLS:
            of = [each for each in plain.values() if each.symbol == symbol]
            assert shelf.of(symbol) == of
            for name in NAMES:
                assert shelf.named(name, symbol) == [e for e in of if e.client_order_id == name][::-1]
    assert list(Shelf(shelf.items()).values()) == list(plain.values())


def test_nothing_is_left_of_what_was_taken_away() -> None:
    shelf: Shelf[tuple[str, int], Order] = Shelf()
    for number in range(1_000):
        shelf["BTCUSDT", number] = order(number, "BTCUSDT", f"id-{number}")
        del shelf["BTCUSDT", number]
    assert not shelf
    assert not shelf._named
    assert not shelf._of["BTCUSDT"]
