"""The fallback row."""

from jobs.recall.hot_fallback import Params, hot_fallback
from tests.recall.builders import table

HOT = "group_key string, item_id string, score double, rank int"
LIST = [("-1", "b", 2.5, 2), ("-1", "a", 3.0, 1), ("-1", "x:y", 1.0, 3), ("-1", "c", 0.1, 4), ("f_18-25", "d", 9.0, 1)]
COLUMNS = ("key", "item_ids", "count")


def fallback(frame, top_n=200):
    params = Params(name="hot_fallback", job="hot_fallback", source="hot", top_n=top_n)
    return table(hot_fallback(frame, params), *COLUMNS)


def test_one_row_for_everyone_best_first_without_ids_that_break_the_form(spark):
    rows = spark.createDataFrame(LIST, HOT)
    assert fallback(rows) == [("-1", "a:hot_fallback:3.0,b:hot_fallback:2.5,c:hot_fallback:0.1", 3)]
    assert fallback(rows, top_n=1) == [("-1", "a:hot_fallback:3.0", 1)]


def test_an_empty_list_is_a_row_with_nothing_in_it(spark):
    assert fallback(spark.createDataFrame([], HOT)) == [("-1", "", 0)]
