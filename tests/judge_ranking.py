"""`make judge-ranking`: the ranking of the shipped registrations on MovieLens 100k and MIND.

Learned from the days before a cut, judged on what was shown after it, beside the item's own rate and popularity on the
same rows. Needs the data (`--data`, a folder with ml-100k/ and mind-small-sample/: their licences do not let us ship
them). The first run imports them and makes features and samples of every day (some minutes); `--anew` does so again.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from jobs.lib.settings import PROJECT_ROOT
from tests.judge_recall import FOLDERS, recflow

SPANS = {"ml_100k": ("19970920", "19980422", 0.9), "mind": ("20191109", "20191114", 0.8)}
NOT_NEEDED = ("rank_model", "candidates", "recommendations", "evaluation", "diagnostics", "publish", "quality_result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--work", type=Path, default=PROJECT_ROOT / ".recflow" / "judge_ranking")
    parser.add_argument("--only", choices=list(FOLDERS))
    parser.add_argument("--anew", action="store_true")
    arguments = parser.parse_args()
    for name, folder in FOLDERS.items():
        if arguments.only in (None, name):
            judge(name, arguments.data / folder, arguments.work / name, arguments.anew)


def judge(name: str, data: Path, home: Path, anew: bool) -> None:
    registration = PROJECT_ROOT / "schemas" / "registrations" / f"{name}.yaml"
    first, last, share = SPANS[name]
    if anew:
        shutil.rmtree(home, ignore_errors=True)
    if not home.exists():
        recflow("import", registration, data, home=home)
    days = ("--solution", registration, "--from", first, "--to", last)
    recflow("backfill", "run", *days, "--nodes", "actions_daily", "--exclude", *NOT_NEEDED, home=home)
    print(f"\n{name}", flush=True)
    recflow("evaluate", "ranking", "--solution", registration, "--train", share, home=home, is_shown=True)


if __name__ == "__main__":
    main()
