import pytest


@pytest.fixture
def folder(tmp_path):
    """An empty folder for files of somebody else's; what a test makes of them goes beside it."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"
