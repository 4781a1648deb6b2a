from __future__ import annotations

from collections.abc import Iterator

import pytest

from signed_client import Floor, SignedClient, trading_floor


@pytest.fixture(scope="module")
def floor() -> Iterator[Floor]:
    """Return a simulator that a module's tests share, an account each."""
    with trading_floor() as floor:
        yield floor


@pytest.fixture
def client(floor: Floor) -> SignedClient:
    """Return the client of an account of its own."""
    return floor.client()
