"""Which errors become one line for a user, and which stay what they are."""

from __future__ import annotations

import pytest
from pyspark.errors import PythonException

from jobs.lib.data_errors import told_in_one_line
from jobs.lib.errors import DataError
from jobs.lib.object_store import StoreError
from jobs.lib.spark import F


def told():
    return told_in_one_line("t ds=20261101")


def in_a_worker(spark, error):
    def fail(batches):
        raise error

    spark.range(1).mapInArrow(fail, "id bigint").collect()


def test_a_column_that_is_not_there_is_named(spark):
    with pytest.raises(DataError, match=r"^t ds=20261101: .* `event` cannot be resolved[^\n]*$"), told():
        spark.range(1).select("event")


def test_a_value_that_cannot_be_read_is_named(spark):
    with pytest.raises(DataError, match=r"^t ds=20261101: .*'many'[^\n]*$"), told():
        spark.range(1).select(F.lit("many").cast("int")).collect()


@pytest.mark.parametrize("error", [StoreError("file:///a/b: No space left on device"), OSError(28, "No space left")])
def test_what_a_worker_says_of_a_store_or_the_disk_is_told(spark, error):
    with pytest.raises(DataError, match=r"^t ds=20261101: [^\n]*No space left[^\n]*$"), told():
        in_a_worker(spark, error)


def test_a_bug_in_a_worker_keeps_its_traceback(spark):
    with pytest.raises(PythonException, match="Traceback"), told():
        in_a_worker(spark, KeyError("user_id"))


@pytest.mark.parametrize("error", [KeyError("x"), ConnectionRefusedError("Spark is gone"), AssertionError("a bug")])
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as raised, told():
        raise error
    assert raised.value is error
