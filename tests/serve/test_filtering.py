"""A reader of the bundle judges pairs as the day judged its candidates."""

from __future__ import annotations

import json

import pyarrow as pa

from jobs.publish.filter_fields import RULES, filter_fields, filter_rules
from jobs.ranking.filters import removed_for_strangers
from jobs.serve.filtering import Filtering, names_by_place
from jobs.serve.published import Bundle
from tests.ranking.test_lists import day, removed_by, solution_of, world
from tests.serve.builders import replaced


def test_a_reader_of_the_bundle_judges_any_pair_as_the_day_does(spark, tmp_path):
    told, solution = world(), solution_of()
    at = day(spark, solution, told)
    replaced(tmp_path, RULES, json.dumps(filter_rules(at)).encode())
    for folder, key, rows in filter_fields(at):
        replaced(tmp_path, f"{folder}/part-00000.parquet", rows.orderBy(*key).toArrow().combine_chunks())
    pairs = [(user, item) for user in (*told.users, "nobody") for item in (*told.items, "i30", "i31", "gone")]
    told.users["nobody"] = {"age": None, "tags": None}
    told.items |= dict.fromkeys(("i30", "i31", "gone"), {"category": None, "duration": None})
    expected = [removed_by(told, *pair) for pair in pairs]
    users, items = (pa.array(column) for column in zip(*pairs, strict=True))
    with Bundle(str(tmp_path)) as bundle:
        filtering = Filtering(bundle)
        assert names_by_place(filtering.removed(users, items), len(pairs)) == expected
        few = Filtering(bundle, ["u3"], ["i05"]).removed(pa.array(["u3"]), pa.array(["i05"]))
        assert names_by_place(few, 1) == [removed_by(told, "u3", "i05")]
        kept = filtering.is_kept_for_anyone(pa.chunked_array([items])).tolist()
    assert filtering.about_users == ["clicked_recently", "adults", "theirs"]
    assert kept == [not {"out_of_stock", "banned"} & set(names) for names in expected]
    assert removed_for_strangers(at.items(), at) == {
        item for item, of in told.items.items() if of["duration"] == 0 or item == "i29"
    }
