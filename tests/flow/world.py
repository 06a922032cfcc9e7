"""The flow without Spark: a node "makes" a partition whose content is a hash of what it would be made from.

So two histories end in the same tables exactly when every partition was last made from the same inputs, by the records
that the real flow keeps too.
"""

from __future__ import annotations

import hashlib
import json

from jobs.flow import backfill
from jobs.flow.lineage import Ledger, has_table, outputs, run_name
from jobs.lib import partitions, runs
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from jobs.lib.solution import Solution
from tests.features.builders import demo_solution

RECALLS = [
    {"name": "hot", "job": "hot", "window_days": 7},
    {"name": "hot_fallback", "job": "hot_fallback", "source": "hot"},
    {"name": "i2i", "job": "etrec_i2i", "window_days": 10},
    {"name": "u2i", "job": "u2i", "source": "i2i", "trigger_window_days": 5},
]


def small_solution(**sections) -> Solution:
    """Windows short enough to see their edges in a month."""
    given = {
        "features": {"windows": [3, 5], "preference": {"window": 5}},
        "recalls": RECALLS,
        "ranking": {"training_days": 4},
        "publish": {"fallback": "hot_fallback", "active_days": 6, "seen_days": 6},
    }
    return demo_solution(**(given | {"demo": None} | sections))


class World:
    """made: (node, ds) in the order in which they were made."""

    def __init__(self, solution: Solution, monkeypatch) -> None:
        self.solution, self.made, self.breaks = solution, [], {}
        monkeypatch.setattr(backfill, "make", self.make)
        monkeypatch.setattr("os.fsync", lambda descriptor: None)  # thousands of small files that need not last
        monkeypatch.setattr("jobs.flow.lineage.usable_days", self._models)

    def arrive(self, days, version: str = "1") -> None:
        """Input partitions of these days, filled by another hand."""
        tables = self.solution.tables
        for config in (tables.user, tables.item, tables.behavior):
            for ds in days:
                self.rewrite(config.table, ds, version)

    def rewrite(self, table: str, ds: str, version: str) -> None:
        partitions.forget(table, [ds])
        partitions.write_record(table, ds, {"rows": 1, "content": f"{table}{ds}v{version}", "checks": []})

    def make(self, solution, node, days) -> None:
        """In place of running.make."""
        ledger = Ledger(solution)
        for ds in days:
            if error := self.breaks.pop((node.name, ds), None):
                runs.failed(run_name(solution, node), ds, str(error))
                raise error
            origin = ledger.origin(ds, node)
            missing = [p for p in ledger.reads(ds, node).needs if ledger.content(*p) is None]
            assert not missing, f"{node.name} ds={ds} ran without {missing}"
            self.made.append((node.name, ds))
            if node.name == "publish":
                open_store(f"{settings().publish_root}/{solution.scenario}").put(f"ds={ds}/v=c-1/manifest.json", b"{}")
            if has_table(node):
                text = json.dumps([node.name, ds, origin["inputs"], origin["config"]], sort_keys=True)
                content = hashlib.sha256(text.encode()).hexdigest()
                for table in outputs(solution, node):
                    partitions.forget(table, [ds])
                    partitions.write_record(table, ds, {"rows": 1, "content": content, "checks": []})
            runs.done(run_name(solution, node), ds, origin, Ledger(solution).made(ds, node), 0.5)

    def contents(self) -> dict[tuple[str, str], str]:
        """Of every partition of the flow."""
        tables = [self.solution.table(node.name) for node in self.solution.nodes() if has_table(node)]
        days = [(table, ds) for table in tables for ds in partitions.present_days(table)]
        return {key: partitions.record(*key)["content"] for key in days}

    def _models(self, solution) -> list[str]:
        return partitions.present_days(solution.table("rank_model"))
