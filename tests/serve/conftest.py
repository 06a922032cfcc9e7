"""The small bundle of the publishing tests, opened as its readers do."""

from __future__ import annotations

import pytest

from jobs.serve.published import Bundle
from tests.publish.conftest import bundle, one_day  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def opened(bundle):  # noqa: F811
    with Bundle(bundle) as found:
        yield found
