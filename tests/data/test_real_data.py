"""The real sets beside the project: every row is read, and kept or refused by name."""

import polars as pl
import pytest

from jobs.data.import_rows import events_of
from jobs.data.registration import load_registration
from jobs.lib.days import from_day_number
from jobs.lib.settings import PROJECT_ROOT
from tests.data.imports import read

DATA = PROJECT_ROOT.parent / "shared" / "data"


def imported(name, folder, tmp_path):
    """{kind: (read, kept)}, {event: rows}, the first and last day, {(column, reason): [(line, value)]}."""
    if not (DATA / folder).is_dir():
        pytest.skip(f"{DATA / folder} is not on this machine")
    registration = load_registration(name)
    copied = tmp_path / "in"
    copied.symlink_to(DATA / folder)
    rows, refused = {}, {}
    for kind in registration.files.by_kind():
        tally, blocks, _ = read(copied, registration, kind, staging=tmp_path)
        rows[kind] = (tally.read, tally.kept)
        refused |= tally.examples
        if kind == "behavior":
            staged = [b for b in blocks if b.table == kind]
            days = sorted({b.day for b in staged})
            kept = pl.concat([pl.read_ipc(a) for a in sorted({b.address for b in staged})])
            counted = events_of(kept, registration.files.behavior)["event"].value_counts()
    return rows, dict(counted.rows()), (from_day_number(days[0]), from_day_number(days[-1])), refused


def test_the_lab_csvs(tmp_path):
    rows, events, days, refused = imported("airec_lab", "airec-lab", tmp_path)
    assert rows == {"behavior": (10, 10), "item": (6, 6), "user": (5, 5)} and not refused
    assert events == {"click": 8, "purchase": 2} and days == ("20240412", "20240412")


def test_mind(tmp_path):
    rows, events, days, refused = imported("mind", "mind-small-sample", tmp_path)
    assert rows == {"behavior": (5000, 5000), "item": (2000, 2000)} and not refused
    assert events == {"expr": 189_359, "click": 7_542} and days == ("20191109", "20191114")


def test_movielens(tmp_path):
    rows, events, days, refused = imported("ml_100k", "ml-100k", tmp_path)
    assert rows == {"behavior": (100_000, 100_000), "item": (1682, 1680), "user": (943, 943)}
    assert events == {"expr": 100_000, "click": 55_375} and days == ("19970920", "19980422")
    assert refused == {("release_year", "is not a number"): [(268, "unkonwn"), (1413, "V")]}
