import copy

import pytest
import yaml

from jobs.lib.errors import NodeError, SolutionError
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import load_solution

HOME_PAGE = yaml.safe_load((PROJECT_ROOT / "dags" / "home_page.yaml").read_text())
HOME_PAGE["recalls"] = [
    {"name": "hot", "job": "hot", "window_days": 7},
    {"name": "hot_fallback", "job": "hot_fallback", "source": "hot"},
    {"name": "etrec_i2i", "job": "etrec_i2i", "similarity": "wbcosine"},
    {"name": "etrec_u2i", "job": "u2i", "source": "etrec_i2i"},
]


def test_the_shipped_solution_holds_and_lists_its_nodes_after_their_inputs():
    solution = load_solution(PROJECT_ROOT / "dags" / "home_page.yaml")
    names = [node.name for node in solution.nodes()]
    assert names[0] == "input_checks" and names[-2:] == ["publish", "quality_result"]
    for node in solution.nodes():
        assert all(names.index(name) < names.index(node.name) for name in node.inputs), node
    assert solution.node("home_page_etrec_u2i").params.source == "etrec_i2i"
    assert solution.impression == "expr"


def edited(path, value):
    raw = copy.deepcopy(HOME_PAGE)
    *parents, last = path
    owner = raw
    for part in parents:
        owner = owner[part]
    if value is None:
        del owner[last]
    else:
        owner[last] = value
    return raw


BAD = [
    (
        ("scenery",),
        1,
        "scenery: unknown key; allowed: cadence, deadline, demo, diagnostics, event_weights, events, features, fusion",
    ),
    (("features", "window"), [3], "features.window: unknown key; allowed: biases, events, preference, smoothing"),
    (("features", "windows"), [3, 0], "features.windows.1: Input should be greater than or equal to 1, not 0"),
    (("features", "windows"), [], "features.windows: List should have at least 1 item"),
    (
        ("features", "events"),
        ["buy"],
        "features.events: 'buy' is not an event of `events`; allowed: expr, click, praise",
    ),
    (("recalls", 0), {"name": "x", "job": "swung"}, "recalls[0].job: no recall job 'swung' in jobs/recall; there are:"),
    (
        ("tables", "behavior", "table"),
        "home_page_hot",
        "tables: home_page_hot is an input, and what the node hot writes",
    ),
    (("recalls", 2, "similarity"), "cosinus", "recalls[2] (etrec_i2i): similarity: Input should be"),
    (("recalls", 2, "simularity"), "cosine", "recalls[2] (etrec_i2i): simularity: unknown key; allowed: "),
    (("recalls", 0, "window_days"), 0, "recalls[0] (hot): window_days: Input should be greater than or equal to 1"),
    (
        ("recalls", 3, "source"),
        "swing",
        "recalls[etrec_u2i].source: 'swing' is not an earlier recall line that",
    ),
    (
        ("recalls", 3, "source"),
        "hot",
        "'hot' is not an earlier recall line that makes a recall_i2i; allowed: etrec",
    ),
    (
        ("recalls", 2, "event"),
        "buy",
        "recalls[etrec_i2i].event: 'buy' is not an event of `events`; allowed: expr",
    ),
    (("recalls", 3, "name"), "hot", "recalls: the name 'hot' is used twice"),
    (("recalls", 3, "name"), "catalog", "recalls: the name 'catalog' is taken; others that are: catalog, fused"),
    (("recalls", 3, "quota"), 501, "recalls: the quotas add up to 501, publish.candidates is 500"),
    (("recalls", 0, "quota"), 5, "recalls[hot].quota: only a recall that lists items for single users can have one"),
    (("recalls", 3, "fusion_weight"), -1, "recalls[3] (etrec_u2i): fusion_weight: Input should be greater than or"),
    (("fusion",), {"method": "guessed"}, "fusion.method: Input should be 'fixed' or 'learned'"),
    (("recalls",), "hot", "recalls: a list of recall lines is expected"),
    (("target",), "buy", "target: 'buy' is not an event of `events`"),
    (("target",), "expr", "target: with impressions the first of `events` is the impression"),
    (("timezone",), "Mars/Base", "timezone: 'Mars/Base' is not a time zone"),
    (("timezone",), None, "timezone: Field required"),
    (("scenario",), "Home Page", "scenario: String should match pattern"),
    (("tables", "item", "roles", "item_id"), None, "tables: item.roles lacks item_id"),
    (("tables", "behavior", "roles", "colour"), "x", "tables.behavior.roles.colour: unknown key; allowed: author"),
    (("ranking", "test_days"), 13, "ranking: validation_days + test_days must be below training_days"),
    (("publish", "fallback"), "cold", "publish.fallback: 'cold' is not a recall line of one row; allowed: hot_fal"),
    (
        ("publish", "fallback"),
        "etrec_u2i",
        "publish.fallback: 'etrec_u2i' is not a recall line of one row; al",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[message[:40] for _, _, message in BAD])
def test_what_a_solution_may_not_say_is_refused_with_file_and_path(tmp_path, path, value, message):
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(edited(path, value)))
    with pytest.raises(SolutionError) as caught:
        load_solution(file)
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


def test_a_file_that_is_missing_or_not_yaml_is_named(tmp_path):
    with pytest.raises(SolutionError, match="none.yaml: cannot be read"):
        load_solution(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_text("a: [1")
    with pytest.raises(SolutionError, match=r"x.yaml: is not YAML: .* line 1"):
        load_solution(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_text("- 1")
    with pytest.raises(SolutionError, match="y.yaml: a mapping is expected"):
        load_solution(tmp_path / "y.yaml")


def test_an_unknown_node_is_refused_with_the_names_there_are():
    with pytest.raises(NodeError, match="no node 'hit' in home_page; there are: input_checks, "):
        load_solution().node("hit")
