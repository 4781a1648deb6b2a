"""The seam for a policy: it judges by the numbers it was made for, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.errors import Refuse
from futures_agent.policy.policy import Policy

NAMES = ("atr", "range", "volume", "trend")


def policy(observation: tuple[str, ...] = NAMES) -> Policy:
    return Policy(name="p", digest="d", observation=observation, weights=np.zeros(1), accepts=lambda *_: True)


def test_the_numbers_it_was_made_for_are_taken() -> None:
    policy().require_fit("s", list(NAMES))


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ((), r"policy p: made for 4 numbers \(atr, range, volume, …\), strategy s observes 0 \(none\)"),
        (NAMES[:3], r"strategy s observes 3 \(atr, range, volume\); train it again or turn it off"),
        (NAMES[::-1], "made for 4 numbers"),
    ],
)
def test_other_numbers_are_refused(observation: tuple[str, ...], message: str) -> None:
    with pytest.raises(Refuse, match=message):
        policy().require_fit("s", observation)
