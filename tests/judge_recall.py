"""`make judge`: recalls of the shipped solution beside their peers, on MovieLens 100k and MIND, by both splits.

Needs the data (`--data`, a folder with ml-100k/ and mind-small-sample/: their licences do not let us ship them) and a
Python that has `implicit`, numpy, scipy and pandas with pyarrow (`--peers-python`). Every act counts (of MovieLens
every rating), what was acted on in train is left out, nothing is chosen by the test part on our side: recall lines are
those of dags/home_page.yaml with windows as long as the data.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from jobs.lib.settings import PROJECT_ROOT

SHOWN = (("recall", 10), ("hit_rate", 10), ("ndcg", 10), ("recall", 50), ("hit_rate", 50), ("ndcg", 50))
DAYS = 400
FOLDERS = {"ml_100k": "ml-100k", "mind": "mind-small-sample"}
PEERS = ("implicit_cosine", "implicit_tfidf", "implicit_bm25", "implicit_als", "plain_ease", "plain_swing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--work", type=Path, default=PROJECT_ROOT / ".recflow" / "judge")
    parser.add_argument("--only", choices=list(FOLDERS))
    parser.add_argument("--by", choices=["temporal", "user"])
    arguments = parser.parse_args()
    for name, folder in FOLDERS.items():
        if arguments.only in (None, name):
            work = arguments.work / name
            work.mkdir(parents=True, exist_ok=True)
            registration = work / f"{name}.yaml"
            registration.write_text(yaml.safe_dump(judged_registration(name)), encoding="utf-8")
            if not (work / "home").exists():
                recflow("import", registration, arguments.data / folder, home=work / "home")
            for by in ("temporal", "user"):
                if arguments.by in (None, by):
                    judge(registration, by, work, arguments.peers_python)


def judged_registration(name: str) -> dict:
    """The shipped registration, with every rating an act."""
    raw = yaml.safe_load((PROJECT_ROOT / "schemas" / "registrations" / f"{name}.yaml").read_text(encoding="utf-8"))
    if name == "ml_100k":
        raw |= {"events": ["click"]}
        raw["files"]["behavior"] |= {
            "impressions": False,
            "event": {"rating": {"column": "rating", "at_least": 0, "positive": "click"}},
        }
        raw["solution"].pop("features")
    return raw


def judge(registration: Path, by: str, work: Path, python: str) -> None:
    out, home = work / by, work / "home"
    split = ("--solution", registration, "--by", by, "--out", out)
    recflow("evaluate", "split", *split, home=home)
    subprocess.run([python, str(PROJECT_ROOT / "tests" / "peers.py"), str(out), str(out / "peers")], check=True)
    lists = [part for file in sorted((out / "peers").glob("*.parquet")) for part in ("--lists", f"{file.stem}={file}")]
    recflow("evaluate", "recall", *split, *lists, "--windows", DAYS, home=home)
    figures = pq.read_table(out / "figures.parquet").to_pylist()
    found = {(f["subject"], f["measure"], f["k"]): f for f in figures}
    subjects = [f["subject"] for f in figures if f["measure"] == "cold_users_served"]
    users = found["fused", "recall", 10]["n"]
    print(f"\n{registration.stem}, split by {by}, {users:,} users; of each peer its best by NDCG@10")
    best_peers = [
        max((s for s in subjects if s.startswith(peer)), key=lambda s: found[s, "ndcg", 10]["value"], default=None)
        for peer in PEERS
    ]
    ours = [s for s in subjects if not s.startswith(PEERS)]
    print(f"  {'':<24}" + "".join(f"{m}@{k}".rjust(14) for m, k in SHOWN))
    for subject in [*ours, *(s for s in best_peers if s)]:
        print(f"  {subject:<24}" + "".join(f"{found[subject, m, k]['value']:14.3f}" for m, k in SHOWN))
    for difference in sorted({f["subject"] for f in figures if " - " in f["subject"] and "fused" in f["subject"]}):
        if difference.split(" - ")[1] in ours:
            print(
                f"  {difference}: " + ", ".join(f"{m}@{k} {interval(found[difference, m, k])}" for m, k in SHOWN),
                flush=True,
            )


def interval(figure: dict) -> str:
    return f"{figure['value']:+.4f} ({figure['low']:+.4f} to {figure['high']:+.4f})"


def recflow(*arguments, home: Path, is_shown: bool = False) -> None:
    command = [sys.executable, "-m", "jobs.lib.cli", *map(str, arguments)]
    subprocess.run(
        command,
        check=True,
        env=os.environ | {"RECFLOW_HOME": str(home)},
        stdout=None if is_shown else subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
