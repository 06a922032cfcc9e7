"""The real sets beside the project: every row is read, and kept or refused by name."""

import pytest

from jobs.data.import_csv import measured_rows, parsed_files
from jobs.data.import_rows import events_of
from jobs.data.registration import load_registration
from jobs.lib.settings import PROJECT_ROOT

DATA = PROJECT_ROOT.parent / "shared" / "data"


def imported(spark, name, folder):
    if not (DATA / folder).is_dir():
        pytest.skip(f"{DATA / folder} is not on this machine")
    registration = load_registration(name)
    rows = parsed_files(spark, registration, str(DATA / folder))
    counts = {kind: measured_rows(frame, kind) for kind, frame in rows.items()}
    events = events_of(rows["behavior"].where("refusal IS NULL"), registration)
    by_event = {row["event"]: row["count"] for row in events.groupBy("event").count().collect()}
    return {kind: (m.read, m.kept) for kind, m in counts.items()}, by_event, counts


def test_the_lab_csvs(spark):
    rows, events, counts = imported(spark, "airec_lab", "airec-lab")
    assert rows == {"behavior": (10, 10), "item": (6, 6), "user": (5, 5)}
    assert events == {"click": 8, "purchase": 2} and counts["behavior"].days == ("20240412",)


def test_mind(spark):
    rows, events, counts = imported(spark, "mind", "mind-small-sample")
    assert rows == {"behavior": (5000, 5000), "item": (2000, 2000)}
    assert events == {"expr": 189_359, "click": 7_542}
    assert counts["behavior"].days[0] == "20191109" and counts["behavior"].days[-1] == "20191114"


def test_movielens(spark):
    rows, events, counts = imported(spark, "ml_100k", "ml-100k")
    assert rows == {"behavior": (100_000, 100_000), "item": (1682, 1680), "user": (943, 943)}
    assert events == {"expr": 100_000, "click": 55_375}
    (refused,) = counts["item"].refused
    assert (refused.column, refused.examples) == ("release_year", ("V", "unkonwn"))
    assert (counts["behavior"].days[0], counts["behavior"].days[-1]) == ("19970920", "19980422")
