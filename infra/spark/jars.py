"""Fetch the jars of jars.txt with Spark's own Ivy into <sys.prefix>/share/recflow/jars, once, at set-up.

Usage: python infra/spark/jars.py. Stops with one line when a jar cannot be had or is not the one that was listed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

LIST = Path(__file__).with_name("jars.txt")
TARGET = Path(sys.prefix) / "share" / "recflow" / "jars"
PARTS = TARGET.with_name("jars.part")  # kept after a failure, so that another try goes on from there
TRIES = 3
SIGN_OF_LIFE_SEC = 10
# Ivy follows dependencies and has no switch for "only these": so the groups of all others are named.
EXCLUDED = (
    "com.fasterxml*:*,com.github*:*,com.google*:*,commons-*:*,io.airlift:*,io.unitycatalog:*,javax.*:*,"
    "org.apache.hadoop:hadoop-c*,org.apache.logging*:*,org.apache.parquet:*,org.locationtech*:*,org.roaringbitmap:*,"
    "org.slf4j:*,org.xerial*:*"
)


def main() -> None:
    """Leave exactly the listed jars in TARGET."""
    wanted = listed_jars(LIST.read_text())
    missing = [jar for jar in wanted if not is_intact(TARGET / file_name(jar), wanted[jar])]
    if missing:
        fetch(missing)
        for jar in missing:
            if not is_intact(PARTS / "jars" / file_name(jar), wanted[jar]):
                shutil.rmtree(PARTS)
                stop(f"{jar} was fetched, but has not the sha256 that {LIST.name} lists; nothing of it is used")
        TARGET.mkdir(parents=True, exist_ok=True)
        for jar in missing:
            (PARTS / "jars" / file_name(jar)).replace(TARGET / file_name(jar))
        shutil.rmtree(PARTS)
    remove_others(wanted)


def listed_jars(text: str) -> dict[str, str]:
    """Coordinate -> sha256."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split() for line in lines)


def file_name(jar: str) -> str:
    """The name that Ivy gives the file of a coordinate."""
    group, artifact, version = jar.split(":")
    return f"{group}_{artifact}-{version}.jar"


def is_intact(file: Path, sha256: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == sha256


def remove_others(wanted: dict[str, str]) -> None:
    """The whole folder goes on the class path: a jar of an older list must not stay."""
    names = {file_name(jar) for jar in wanted}
    for file in TARGET.glob("*.jar"):
        if file.name not in names:
            file.unlink()


def fetch(jars: list[str]) -> None:
    """Let spark-submit resolve the jars for an empty program: no Spark session is started."""
    PARTS.mkdir(parents=True, exist_ok=True)
    program = PARTS / "empty.py"
    program.touch()
    home = Path(importlib.util.find_spec("pyspark").origin).parent
    command = [home / "bin" / "spark-submit", "--master", "local[1]", "--conf", f"spark.jars.ivy={PARTS}"]
    command += ["--packages", ",".join(jars), "--exclude-packages", EXCLUDED, program]
    log = PARTS / "ivy.log"
    for attempt in range(1, TRIES + 1):
        if run_visibly(command, os.environ | {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable}, log):
            return
        if attempt < TRIES:
            print(f"setup:   try {attempt} of {TRIES} failed, going on in {5 * attempt} s", flush=True)
            time.sleep(5 * attempt)
    errors = [line for line in log.read_text().splitlines() if "unresolved" in line or "FAILED" in line]
    print("\n".join(errors[:10]), file=sys.stderr)
    stop(f"the Spark jars could not be fetched; is there a network? Run it again to go on. Log: {log}")


def run_visibly(command: list, environment: dict[str, str], log: Path) -> bool:
    """Run with the output in `log`, saying from time to time how much has come. True when it succeeded."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        while True:
            try:
                return process.wait(SIGN_OF_LIFE_SEC) == 0
            except subprocess.TimeoutExpired:
                size = sum(file.stat().st_size for file in (PARTS / "cache").rglob("*.jar*") if file.is_file())
                print(f"setup:   {size / 1e6:.0f} MB", flush=True)
    finally:
        process.kill()


def stop(text: str) -> None:
    sys.exit(f"setup: error: {text}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
