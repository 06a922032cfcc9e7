"""The solution file: what one scenario computes, validated on load and free of Spark."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, SerializeAsAny, ValidationError, field_validator, model_validator

from jobs.lib import list_params, retention
from jobs.lib.deadline_params import Deadline
from jobs.lib.demo_params import DemoParams
from jobs.lib.diagnostics_params import Diagnostics
from jobs.lib.errors import NodeError, SolutionError
from jobs.lib.input_tables import Tables
from jobs.lib.ranking_params import Ranking
from jobs.lib.retention import Retention
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution_params import Cadence, Features, Fusion, Name, Publish, RecallParams
from jobs.lib.yaml_model import Strict, Zone, problem_lines, read_yaml, validated


@dataclass(frozen=True)
class Node:
    """One job of the flow. `inputs` are names of nodes of the same run; `params` is set for recalls only.

    `always`: runs once everything before it has ended, whatever came of it. `history`: later days look back on its
    partitions, so a range makes it for every ds, in one pass; the others are made for the days that are published.
    """

    name: str
    job: str
    stage: str
    inputs: tuple[str, ...] = ()
    params: Any = None
    always: bool = False
    history: bool = False

    @property
    def module(self) -> str:
        return f"jobs.{self.stage}.{self.job}"


CREATE_DATA = Node("create_data", "create_data", "data", history=True)
CLEAN_UP = Node("clean_up", "clean_up", "data")
RESERVED = ("catalog", "fused", "list", "pinned", "popularity", "random")  # what lists are called beside recalls
DEPLOYED_SOLUTION = "solution.yaml"  # at the root of a deployed package, and nowhere else (jobs/deploy)
BESIDE = {node.name: node for node in (CREATE_DATA, CLEAN_UP)}  # jobs with DAGs of their own


class Solution(Strict):
    """A scenario: its tables by role, and what is computed from them."""

    scenario: Name
    timezone: Zone
    tables: Tables
    scenes: list[str] = []
    events: list[str] = Field(min_length=1)
    target: str = "click"
    event_weights: dict[str, float] = {"click": 1.0, "praise": 2.0, "purchase": 3.0}
    features: Features = Features()
    recalls: list[SerializeAsAny[RecallParams]]
    fusion: Fusion = Fusion()
    ranking: Ranking = Ranking()
    publish: Publish = Publish()
    deadline: Deadline | None = None
    cadence: Cadence = Cadence()
    short_history: Literal["mark", "fail"] = "mark"  # where days of a window are missing
    diagnostics: Diagnostics = Diagnostics()
    retention: Retention = Retention()
    demo: DemoParams | None = None
    _path: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _sources_know_the_zone(cls, raw: Any) -> Any:
        """Whoever is given a table's config alone can tell its days."""
        tables = raw.get("tables") if isinstance(raw, dict) else None
        for table in tables.values() if isinstance(tables, dict) else ():
            if isinstance(table, dict) and isinstance(table.get("source"), dict):
                table["source"] = {**table["source"], "timezone": raw.get("timezone")}
        return raw

    @field_validator("recalls", mode="before")
    @classmethod
    def _recalls_by_job(cls, lines: Any) -> Any:
        if not isinstance(lines, list):
            raise ValueError("a list of recall lines is expected")
        return [_recall_params(index, line) for index, line in enumerate(lines)]

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> Solution:
        _refuse_unknown("target", [self.target], self.events)
        _refuse_unknown("features.events", self.features.events, self.events)
        _refuse_unknown("features.value_events", self.features.value_events, self.events)
        _refuse_unknown("features.preference.event", [self.preference_event], self.events)
        if self.tables.behavior.impressions and self.target == self.events[0]:
            raise ValueError("target: with impressions the first of `events` is the impression, not a target")
        seen: dict[str, str] = {}
        for recall in self.recalls:
            where = f"recalls[{recall.name}]"
            if recall.name in RESERVED:
                raise ValueError(f"recalls: the name {recall.name!r} is taken; others that are: {', '.join(RESERVED)}")
            if recall.name in seen:
                raise ValueError(f"recalls: the name {recall.name!r} is used twice")
            _refuse_unknown(f"{where}.event", recall.events_named, self.events)
            if recall.source is not None:
                kind = getattr(recall.module, "SOURCE_CONTRACT", None)
                fitting = sorted(name for name, contract in seen.items() if kind in (None, contract))
                what = f"an earlier recall line{f' that makes a {kind}' if kind else ''}"
                _refuse_unknown(f"{where}.source", [recall.source], fitting, what)
            if problem := recall.problem_in(self):
                raise ValueError(f"{where}.{problem}")
            seen[recall.name] = recall.module.CONTRACT
            if recall.quota and not recall.is_personal:
                raise ValueError(f"{where}.quota: only a recall that lists items for single users can have one")
        if (kept := sum(recall.quota for recall in self.recalls)) > self.publish.candidates:
            raise ValueError(f"recalls: the quotas add up to {kept}, publish.candidates is {self.publish.candidates}")
        if self.publish.fallback is not None:
            fitting = sorted(name for name, contract in seen.items() if contract == "recall_fallback")
            _refuse_unknown("publish.fallback", [self.publish.fallback], fitting, "a recall line of one row")
        if problem := importlib.import_module("jobs.ranking.targets").problem_in(self):
            raise ValueError(f"ranking.{problem}")
        if problem := list_params.problem(self):
            raise ValueError(problem)
        flow = {node.name for node in self.nodes() if node.stage != "recall"} | {"biases", "filtered", "fusion_weights"}
        if clash := next((recall.name for recall in self.recalls if recall.name in flow), None):
            raise ValueError(f"recalls: the name {clash!r} is that of a node of the flow")
        if clash := next((node.name for node in self.nodes() if self.table(node.name) in self.tables.names()), None):
            raise ValueError(f"tables: {self.table(clash)} is an input, and what the node {clash} writes")
        retention.check(self)
        if problem := importlib.import_module("jobs.ranking.feature_problems").problem_of(self):
            raise ValueError(problem)
        return self

    @property
    def impression(self) -> str | None:
        """The event that records an exposure, or None when only positives are recorded."""
        return self.events[0] if self.tables.behavior.impressions else None

    @property
    def preference_event(self) -> str:
        return self.features.preference.event or self.target

    @property
    def feature_nodes(self) -> tuple[str, ...]:
        """Nodes that say something of each user and item as of a day."""
        return ("user_features", "item_features", *(("biases",) if self.features.biases else ()))

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def path(self) -> str:
        """The file that this was read from."""
        return self._path

    def table(self, name: str) -> str:
        """The table (and node) name of one of the flow's own outputs."""
        return f"{self.scenario}_{name}"

    def nodes(self) -> tuple[Node, ...]:
        """The jobs of one day, each after its inputs."""
        recalls = tuple(
            Node(recall.name, recall.job, "recall", (recall.source or "actions_daily",), recall)
            for recall in self.recalls
        )
        recalled = tuple(recall.name for recall in recalls)
        is_learned = self.fusion.method == "learned"
        weights = (Node("fusion_weights", "fusion_weights", "ranking", ("actions_daily",)),) if is_learned else ()
        chosen = ("rank_model", "candidates")
        filtered = (Node("filtered", "filtered", "ranking", chosen),) if self.publish.has_filters else ()
        return (
            Node("input_checks", "input_checks", "features", history=True),
            Node("actions_daily", "actions_daily", "features", ("input_checks",), history=True),
            *(Node(name, name, "features", ("actions_daily",), history=True) for name in self.feature_nodes),
            *recalls,
            Node("rank_samples", "rank_samples", "ranking", self.feature_nodes, history=True),
            Node("suspicious_users", "suspicious_users", "ranking", ("input_checks",), history=True),
            Node("rank_model", "rank_model", "ranking", ("rank_samples", "suspicious_users")),
            *weights,
            Node("candidates", "candidates", "ranking", (*recalled, *(node.name for node in weights))),
            *filtered,
            Node(
                "recommendations",
                "recommendations",
                "ranking",
                ("rank_model", "candidates", *(node.name for node in filtered)),
            ),
            Node("evaluation", "evaluation", "ranking", ("rank_samples",)),
            Node("diagnostics", "diagnostics", "diagnostics", ("suspicious_users", "rank_model", "candidates")),
            Node("publish", "publish", "publish", ("recommendations", "evaluation", "diagnostics")),
            Node("quality_result", "quality_result", "publish", ("publish",), always=True),
        )

    def node(self, name: str) -> Node:
        """A node by its name or its table's name. Raises NodeError with the names there are."""
        for node in self.nodes():
            if name in (node.name, self.table(node.name)):
                return node
        raise NodeError(f"no node {name!r} in {self.scenario}; there are: {', '.join(n.name for n in self.nodes())}")


def find_node(solution: Solution, name: str) -> Node:
    """A node of the flow, or a job that stands beside it. Raises NodeError with the names there are."""
    if name in BESIDE:
        return BESIDE[name]
    try:
        return solution.node(name)
    except NodeError as error:
        raise NodeError(f"{error}, {', '.join(BESIDE)}") from None


def solution_file() -> Path:
    """Of a deployed package its own, else $RECFLOW_SOLUTION, else dags/home_page.yaml."""
    deployed = PROJECT_ROOT / DEPLOYED_SOLUTION
    if deployed.exists():
        return deployed
    return Path(os.environ.get("RECFLOW_SOLUTION") or PROJECT_ROOT / "dags" / "home_page.yaml")


def is_scenario_name(path: str | Path) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", str(path)) is not None and not Path(path).exists()


def load_solution(path: str | Path | None = None) -> Solution:
    """Read and validate a solution file, or a registration (then with defaults for what it does not say).

    path: of the file, or the name of a scenario: the default one's, else that of a file in dags/. Default:
    `solution_file`. Raises SolutionError naming the file and the path in it.
    """
    file = _named(str(path)) if path and is_scenario_name(path) else Path(path or solution_file())
    raw = read_yaml(file)
    if "files" in raw:
        from jobs.data.registration import solution_fields

        raw = solution_fields(raw, file, read_yaml(PROJECT_ROOT / "dags" / "home_page.yaml"))
    solution = validated(Solution, raw, file)
    solution._path = str(file.absolute())
    return solution


def _named(scenario: str) -> Path:
    default, folder = solution_file(), PROJECT_ROOT / "dags"
    if read_yaml(default).get("scenario") == scenario:
        return default
    if not (folder / f"{scenario}.yaml").exists():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise SolutionError(f"{scenario} is neither a solution file nor a scenario; there are: {there}")
    return folder / f"{scenario}.yaml"


def _recall_params(index: int, line: Any) -> RecallParams:
    """One recall line, checked by the Params class of its job file."""
    where = f"recalls[{index}]"
    if not isinstance(line, dict):
        raise ValueError(f"{where}: a mapping with name and job is expected, not {line!r}")
    jobs = recall_jobs()
    job = line.get("job")
    if job not in jobs:
        raise ValueError(f"{where}.job: no recall job {job!r} in jobs/recall; there are: {', '.join(jobs)}")
    model = importlib.import_module(f"jobs.recall.{job}").Params
    try:
        return model.model_validate(line)
    except ValidationError as error:
        name = line.get("name", "?")
        raise ValueError("; ".join(f"{where} ({name}): {text}" for text in problem_lines(model, error))) from None


def recall_jobs() -> list[str]:
    """Names of the job files in jobs/recall that make a recall table: those that define Params."""
    files = sorted((PROJECT_ROOT / "jobs" / "recall").glob("*.py"))
    return [file.stem for file in files if "class Params(" in file.read_text(encoding="utf-8")]


def _refuse_unknown(
    path: str, names: Collection[str], known: Collection[str], what: str = "an event of `events`"
) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{path}: {unknown[0]!r} is not {what}; allowed: {', '.join(known) or 'none'}")
