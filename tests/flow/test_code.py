"""What changes the id of a job's code, and what does not."""

from __future__ import annotations

import shutil

import pytest

from jobs.flow import code
from jobs.lib.settings import PROJECT_ROOT

HOT = "jobs.recall.hot"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the jobs, whose files a test may change; gives a function that says the id anew."""
    shutil.copytree(PROJECT_ROOT / "jobs", tmp_path / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PROJECT_ROOT", tmp_path)

    def id_of(module, file=None, old="", new=""):
        if file:
            path = tmp_path / file
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new, 1))
        for cached in (code.code_id, code._tree, code._bare):
            cached.cache_clear()
        return code.code_id(module)

    yield id_of
    for cached in (code.code_id, code._tree, code._bare):
        cached.cache_clear()


def test_words_do_not_count(project):
    before = project(HOT)
    assert project(HOT, "jobs/recall/hot.py", "Hot items of a window", "The hottest items") == before
    assert project(HOT, "jobs/recall/hot.py", "    counted = ", "    # for a reason\n    counted = ") == before


def test_a_formula_does_count_and_so_does_what_it_is_made_with(project):
    ids = [project(HOT)]
    ids.append(project(HOT, "jobs/recall/hot.py", "Field(10.0, ge=0", "Field(11.0, ge=0"))
    ids.append(project(HOT, "jobs/recall/inputs.py", "isin(list(weights))", "isin(sorted(weights))"))
    ids.append(project(HOT, "jobs/lib/roles.py", 'cast("string")', 'cast("STRING")'))
    assert len(set(ids)) == 4


def test_how_rows_are_moved_and_what_other_jobs_do_does_not(project):
    before = project(HOT)
    assert project(HOT, "jobs/lib/row_files.py", "ROWS_PER_FILE = 2_000_000", "ROWS_PER_FILE = 3_000_000") == before
    assert project(HOT, "jobs/recall/u2i.py", "BLOCK = 2_000_000", "BLOCK = 3_000_000") == before
    assert project(HOT) == before and project("jobs.recall.u2i") != before
