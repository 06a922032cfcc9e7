"""The one Spark session of a process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobs.lib.errors import SettingError
from jobs.lib.settings import PROJECT_ROOT, Settings, settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Of a local driver. Its plans are many, short and each compiled afresh: the second compiler (C2) took more of two cores
# than all the work of a day. Whoever computes for hours on large data gives it back (RECFLOW_DRIVER_JAVA_OPTIONS="").
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
AT_ONCE = 3
_STARTING = threading.RLock()
LOGGING = PROJECT_ROOT / "infra" / "spark" / "log4j2.properties"


def spark() -> SparkSession:
    """The running session, or a new one for the configured master.

    The session zone is UTC, because the machine's own zone must not decide a result; a local hour or ds is derived from
    the solution's zone. Delta's defaults (reader 1, writer 2, no deletion vectors) are pinned so that other readers can
    open the tables.
    """
    with _STARTING:
        return _session()


def _session() -> SparkSession:
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:
        return SparkSession.active()  # of another thread too
    # Whoever has a session writes, and what is written is judged: that library takes seconds to load, meanwhile.
    threading.Thread(target=import_module, args=("great_expectations",), daemon=True).start()
    config = settings()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # Spark's tasks are the threads
    if config.spark_master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # no look-up of the host's name, nothing on the network
    builder, options = SparkSession.builder.master(config.spark_master).appName("recflow"), _options(config)
    for key, value in options.items():
        builder = builder.config(key, value)
    if secret := _cluster_secret(config):
        # What is known when the JVM starts is in its command line, for every user to see: this comes afterwards.
        SparkContext._ensure_initialized(conf=SparkConf(loadDefaults=False).setAll(list(options.items())))
        builder = builder.config("spark.authenticate", "true").config("spark.authenticate.secret", secret)
    session = builder.getOrCreate()
    package = PROJECT_ROOT / "package.zip"  # of a deployed version; what is baked into a cluster's workers is another
    if package.exists() and not config.spark_master.startswith("local"):
        session.sparkContext.addPyFile(str(package))
    session.sparkContext.setLogLevel("ERROR")
    return session


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """The results of works that need nothing from each other, in this order; the first error when all have ended.

    Small Spark jobs are mostly planned, by one thread: beside it the tasks of another job use the other cores.
    """
    spark()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [done.result() for done in [pool.submit(work) for work in works]]


def _options(config: Settings) -> dict[str, str]:
    jars = sorted(str(jar) for jar in config.jars.glob("*.jar"))
    if not any("delta-spark" in jar for jar in jars):
        raise SettingError(f"no Delta jars in {config.jars}; run `make setup`")
    java_options = f"-Duser.timezone=UTC -Dlog4j2.configurationFile={LOGGING.as_uri()}"
    options = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
        "spark.databricks.delta.properties.defaults.minReaderVersion": "1",
        "spark.databricks.delta.properties.defaults.minWriterVersion": "2",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # 10,000 rows are a batch. The limit in bytes is asked after row by row, and a NULL list makes that quadratic.
        "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.databricks.delta.snapshotPartitions": "2",  # of a log; those of our tables are short
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.maxResultSize": "0",  # what may be collected is bounded where it is collected
        "spark.driver.extraJavaOptions": java_options,
    }
    if config.spark_master.startswith("local"):
        of_compiler = os.environ.get("RECFLOW_DRIVER_JAVA_OPTIONS", JAVA_OPTIONS)
        # One process: jars by class path cost nothing at start, and small shuffles need few partitions.
        options |= {
            "spark.driver.extraClassPath": os.pathsep.join(jars),
            "spark.driver.memory": os.environ.get("RECFLOW_DRIVER_MEMORY") or "3g",
            "spark.driver.extraJavaOptions": f"{java_options} {of_compiler}",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 2)),
            "spark.default.parallelism": str(os.cpu_count() or 2),
        }
    else:
        options |= _cluster_options(jars)
    if config.warehouse.startswith("s3a://"):
        options |= _s3a_options()
    return options


def _cluster_options(jars: list[str]) -> dict[str, str]:
    """Of a driver whose executors are elsewhere; whatever it is not about stands in spark-defaults.conf as usual.

    RECFLOW_WORKER_JARS: the folder of the jars on every worker, where they have them (our image does). Without it each
    executor is sent the 703 MB when it starts.
    """
    options = {"spark.executor.extraJavaOptions": "-Duser.timezone=UTC", "spark.executorEnv.POLARS_MAX_THREADS": "1"}
    for variable, option in {"RECFLOW_DRIVER_MEMORY": "driver", "RECFLOW_EXECUTOR_MEMORY": "executor"}.items():
        if memory := os.environ.get(variable):
            options[f"spark.{option}.memory"] = memory
    if folder := os.environ.get("RECFLOW_WORKER_JARS"):
        options |= {
            "spark.driver.extraClassPath": os.pathsep.join(jars),
            "spark.executor.extraClassPath": f"{folder}/*",
        }
    else:
        options["spark.jars"] = ",".join(jars)
    return options


def _cluster_secret(config: Settings) -> str | None:
    """What master, workers and drivers of a standalone cluster prove themselves with; Spark's own name for it."""
    return os.environ.get("_SPARK_AUTH_SECRET") if config.spark_master.startswith("spark://") else None


def _s3a_options() -> dict[str, str]:
    """Credentials stay in the environment; only the endpoint is passed on."""
    options = {"spark.hadoop.fs.s3a.path.style.access": "true"}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        options["spark.hadoop.fs.s3a.endpoint"] = endpoint
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        options["spark.hadoop.fs.s3a.endpoint.region"] = region
    return options
