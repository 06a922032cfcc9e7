"""The solution that tests of imported tables share."""

from __future__ import annotations

import pytest

from tests.data.stored_tables import ROLES
from tests.features.builders import demo_solution


@pytest.fixture
def solution(warehouse):
    """Of imported tables, whose records need no Spark."""
    return demo_solution(
        scenario="shop",
        tables={"behavior": {"table": "shop_behavior", "roles": ROLES}, "item": None, "user": None},
        scenes=[], demo=None, features={"preference": {"attributes": []}},
    )  # fmt: skip
