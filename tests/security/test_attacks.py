"""Attacks by text that recflow evaluates, by paths, and by YAML: each is refused, and the message names the place."""

from __future__ import annotations

import ast
import io
import itertools
import os
import zipfile

import deltalake
import pyarrow as pa
import pytest
from pydantic import ValidationError

from jobs.data.registered_files import ItemFile
from jobs.data.source_files import listed
from jobs.deploy.active import unpacked
from jobs.deploy.package import unpack
from jobs.lib import partitions
from jobs.lib.checks import Check
from jobs.lib.cli import main
from jobs.lib.contracts import load_contract
from jobs.lib.errors import ContractError, RecflowError, SettingError, SolutionError
from jobs.lib.expression import parsed as filter_of
from jobs.lib.expression_tree import NUMBER, TEXT, Names
from jobs.lib.feature_operators import Lookup
from jobs.lib.files import delta_files
from jobs.lib.input_tables import Source, TableConfig
from jobs.lib.object_store import StoreError, open_store
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import load_solution
from jobs.lib.yaml_model import read_yaml
from jobs.ranking.label_expression import parsed as label_of
from jobs.recall.formula import Names as FormulaNames
from jobs.recall.formula import check_formula
from jobs.serve.published import Bundle
from tests.features.builders import demo_solution

NO_SPARK_SQL = ("[x for x in (1, 2)]", "9 ** 9 ** 9 ** 9", "1" + "0" * 400)  # no harm in it: Spark does not parse it
EVENTS = {"event": {"event": TEXT, "value": NUMBER}}
CODE = [
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "(lambda: 1)()",
    "[x for x in (1, 2)]",
    "open('/etc/passwd')",
    "eval('1')",
    "f'{1}'",
    "1; import os",
    "a := 1",
    "9 ** 9 ** 9 ** 9",
    "1" + "0" * 400,
    "abs(" * 200 + "1" + ")" * 200,
    "-" * 5000 + "1",
    "1 + " * 2000 + "1",
    "item.`a`; DROP TABLE x",
    "1 -- a comment",
    "1 /* a comment */",
    "java_method('java.lang.Runtime', 'getRuntime')",
    "reflect('java.lang.System', 'getenv')",
    "`reflect`('java.lang.System', 'getenv')",
    "(select 1)",
    "ｅval(1)",  # full-width letters, which Python takes for their look-alikes
    "еxp(1)",  # a Cyrillic e
    "\x00",
    "'",
    '"',
    "`",
    "",
]


def as_filter(text):
    filter_of(text, Names({"item": {"a": NUMBER}, "user": {}}, ("click",)))


def as_label(text):
    label_of(text, Names(EVENTS, ("click",)))


def as_formula(text):
    check_formula(text, FormulaNames(("age_days",)))


def as_check(text):
    Check(name="safe", kind="expression", severity="fail", expression=text or None)


LANGUAGES = [as_filter, as_label, as_formula, as_check]


@pytest.mark.parametrize(
    ("language", "text"), [(one, t) for one in LANGUAGES for t in CODE if one is not as_check or t not in NO_SPARK_SQL]
)
def test_no_expression_runs_code(language, text):
    with pytest.raises(ValueError) as refused:
        language(text)
    if language is not as_check:  # pydantic names the check, on several lines
        assert "\n" not in str(refused.value) and str(refused.value)


@pytest.mark.parametrize(("text", "told"), [
    ("a > reflect('java.lang.System', 'exit', 0)", "unknown function 'reflect' at column 5"),
    ("JAVA_METHOD  ('x', 'y') IS NULL", "unknown function 'JAVA_METHOD' at column 1"),
    ("try_reflect('x', 'y')", "unknown function 'try_reflect' at column 1"),
    ("system.builtin.reflect('x', 'y')", "unknown function 'reflect' at column 16"),
    ("mine.abs(a)", "unknown function 'abs' at column 6"),
    ("identifier('reflect')('x')", "unknown function 'identifier' at column 1"),
    ("a in (SELECT b FROM parquet.`/etc`)", "'SELECT' at column 7 is not allowed"),
    ("exists (select 1)", "'select' at column 9 is not allowed"),
    ("exists(table parquet.`/etc/x`)", "'table' at column 8 is not allowed"),
    ("item_id in (TABLE text.`/proc/self/environ`)", "'TABLE' at column 13 is not allowed"),
    ("(table json.`/tmp/a`) = 1", "'table' at column 2 is not allowed"),
    ("(table home_page_hot) is null", "'table' at column 2 is not allowed"),
    ("exists(values 1)", "'values' at column 8 is not allowed"),
    ("exists(map a using 'cat')", "'map' at column 8 is not allowed"),
    ("exists(reduce a using b)", "'reduce' at column 8 is not allowed"),
    ("(with x as (y) z)", "'with' at column 2 is not allowed"),
    ("(describe x) = 1", "'describe' at column 2 is not allowed"),
    ("a is not from b", "'from' at column 10 is not allowed"),
    ("input_file_name() = 'x'", "unknown function 'input_file_name' at column 1"),
    ("a = '\\'' or 1", r"\"'\" is not allowed at column 5"),
    ("a = r'x'", "'r' at column 5 is not allowed before 'x'"),
    ("a = ${spark.master}", r"'\$' is not allowed at column 5"),
    ("a = 1 -- b", "'-' is not allowed at column 7"),
    ("а > 1", "'а' is not allowed at column 1"),
    ("1 + " * 400 + "1", "the expression has 1601 characters; allowed: 1000"),
])  # fmt: skip
def test_checks_call_known_functions_of_the_row_alone(text, told):
    with pytest.raises(ValidationError, match=f"check 'safe': expression: {told}"):
        as_check(text)


@pytest.mark.parametrize(
    "text",
    ["a is not distinct from b", "a IS DISTINCT FROM 'x'", "a is distinct from (b + 1)", "a || b = 'x'", "`table` > 1"],
)
def test_what_reads_nothing_but_the_row_is_allowed(text):
    as_check(text)


def test_every_expression_of_the_contracts_is_allowed():
    contracts = [load_contract(file.stem) for file in (PROJECT_ROOT / "schemas").glob("*.yaml")]
    assert sum(check.kind == "expression" for contract in contracts for check in contract.checks) > 5


@pytest.mark.parametrize(("sections", "told"), [
    ({"ranking": {"score": "is_click.__class__"}}, "ranking.score"),
    ({"ranking": {"score": "__import__('os')"}}, "ranking.score"),
    ({"ranking": {"labels": {"is_x": "open('x')"}}}, "ranking.labels"),
    ({"ranking": {"labels": {"is_../../x": "1"}}}, "ranking.labels"),
    ({"publish": {"filters": [{"name": "a", "exclude": "user.__class__ = 1"}]}}, "publish.filters"),
    ({"publish": {"filters": [{"name": "../../a", "exclude": "user.age < 1"}]}}, "publish.filters"),
    ({"scenario": "../../home_page"}, "scenario"),
    ({"timezone": "../../etc/localtime"}, "timezone"),
    ({"recalls": [{"name": "../../hot", "job": "hot"}]}, "recalls"),
    ({"recalls": [{"name": "hot", "job": "../publish/publish"}]}, "recalls"),
    ({"recalls": [{"name": "hot", "job": "hot", "formula": "().__class__"}]}, "recalls"),
    ({"tables": {"behavior": {"table": "../../x"}}}, "tables.behavior.table"),
    ({"tables": {"behavior": {"table": "/etc"}}}, "tables.behavior.table"),
    ({"tables": {"behavior": {"table": "_partitions"}}}, "tables.behavior.table"),
    ({"tables": {"behavior": {"table": "x` WHERE 1=1 --"}}}, "tables.behavior.table"),
    ({"tables": {"behavior": {"source": {"path": "/lake/../../etc"}}}}, "tables.behavior.source.path"),
    ({"tables": {"behavior": {"source": {"path": "s3://lake/%2e%2e/other"}}}}, "tables.behavior.source.path"),
    ({"tables": {"behavior": {"source": {"path": "/lake\0/x"}}}}, "tables.behavior.source.path"),
])  # fmt: skip
def test_a_solution_neither_runs_code_nor_leaves_the_warehouse(sections, told):
    with pytest.raises(ValidationError) as refused:
        demo_solution(**sections)
    assert told in str(refused.value)


@pytest.mark.parametrize("of", ["a`b", "a.b", "a b", "x'; --", "＿x", "a\0"])
def test_operators_name_plain_columns(of):
    with pytest.raises(ValidationError, match="of\n  String should match pattern"):
        Lookup(op="lookup", of=of)


OUTSIDE = ["/etc/passwd", "../x", "a/../../x", "%2e%2e/x", "a/%2e%2e/%2e%2e/x", "..\\x", "a\0b", "s3://other/x", ""]


@pytest.mark.parametrize("file", OUTSIDE)
def test_a_registration_reads_within_its_folder(file):
    with pytest.raises(ValidationError, match="is not a file within the folder"):
        ItemFile(file=file, roles={"item_id": "a"})


def test_links_that_lead_out_of_an_import_folder_are_refused(tmp_path):
    (tmp_path / "secret.csv").write_text("x")
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    os.symlink(tmp_path / "secret.csv", folder / "log.csv")
    os.symlink(tmp_path, folder / "sub" / "all")
    for file in ("log.csv", "*.csv", "sub/all", "sub/all/secret.csv"):
        with pytest.raises(RecflowError, match=f"is a link that leads out of {folder}"):
            listed(str(folder), ItemFile(file=file, roles={"item_id": "a"}))
    (folder / "own.csv").write_text("x")
    os.symlink(folder / "own.csv", folder / "sub" / "here.csv")
    assert [file.name for file in listed(str(folder), ItemFile(file="sub/here.csv", roles={"item_id": "a"}))]
    (tmp_path / "name").symlink_to(folder)  # the folder itself may be a link
    [own] = listed(str(tmp_path / "name"), ItemFile(file="own.csv", roles={"item_id": "a"}))
    assert own.name == "own.csv"


def test_a_delta_log_names_no_file_elsewhere(tmp_path):
    deltalake.write_deltalake(tmp_path / "t", pa.table({"a": [1]}))
    [log] = (tmp_path / "t" / "_delta_log").glob("*.json")
    [file] = [f.name for f in (tmp_path / "t").glob("*.parquet")]
    text = log.read_text()
    for elsewhere in ("../t2/x.parquet", "%2e%2e/x.parquet"):
        log.write_text(text.replace(file, elsewhere))
        with pytest.raises(RecflowError, match="names a file elsewhere"):
            delta_files(str(tmp_path / "t"))


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "..\\x", "a\0b", ""])
def test_no_key_leaves_its_store(tmp_path, key):
    store = open_store(f"file://{tmp_path}/published")
    for act in (store.get, store.size, store.exists, store.delete, lambda k: store.put(k, b""), store.url):
        with pytest.raises(StoreError, match="is no key"):
            act(key)


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "jobs/../../evil.py", "..\\evil.py", "jobs//evil.py"])
def test_a_package_does_not_unpack_beside_its_folder(tmp_path, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(StoreError, match="is no key"):
        unpack(buffer.getvalue(), tmp_path / "a" / "p-1")
    assert not list(tmp_path.rglob("evil.py"))


def test_pointers_and_manifests_lead_nowhere_else(tmp_path):
    store = open_store(f"file://{tmp_path}/published")
    store.put("latest.json", b'{"ds": "20261101", "version": "c-1", "manifest": "../../etc/manifest.json"}')
    with pytest.raises(RecflowError, match="latest.json is no pointer"):
        Bundle(store.root)
    objects = '[{"key": "../../etc/part-0.parquet", "bytes": 1, "sha256": "0"}]'
    store.put("ds=1/v=1/manifest.json", f'{{"format": "recflow-bundle/1", "ds": "1", "objects": {objects}}}'.encode())
    with Bundle(f"{store.root}/ds=1/v=1") as bundle, pytest.raises(StoreError, match="is no key"):
        bundle.get("../../etc/part-0.parquet")
    for version in ("../../x", "p-../../../../../x", "p-" + "0" * 15 + "/"):
        with pytest.raises(RecflowError, match="is no version"):
            unpacked(store, version)


@pytest.mark.parametrize(("arguments", "told"), [
    (["run", "hot", "--ds", "../../x"], "'../../x' is not a ds"),
    (["run", "../../hot", "--ds", "20261101"], "no node '../../hot'"),
    (["backfill", "plan", "--from", "../x", "--to", "20261101"], "'../x' is not a ds"),
    (["clean-up", "--ds", "../../x"], "'../../x' is not a ds"),
    (["diagnose", "--ds", "../../x"], "'../../x' is not a ds"),
    (["quality", "show", "--ds", "../../x"], "'../../x' is not a ds"),
    (["quality", "override", "--table", "../../x", "--ds", "20261101", "--check", "../a", "--who", "a", "--why", "b"],
     "../../x ds=20261101: check ../a blocks nothing"),
    (["recommend", "--user", "7", "--ds", "../../x"], "'../../x' is not a ds"),
    (["freeze", "../../x"], "../../x is no input table"),
    (["bundle", "pin", "../../x"], "has no bundle '../../x'"),
    (["bundle", "rollback", "../../x"], "no object at"),
    (["rollback", "../../x"], "../../x was never deployed"),
    (["forget", "--user", "7", "--also", "../../x"], "../../x is no table that recflow writes"),
    (["forget", "--user", "7\n8"], "is no user id"),
])  # fmt: skip
def test_no_argument_of_a_command_leads_elsewhere(warehouse, capsys, arguments, told):
    assert main(arguments) == 1
    assert told in capsys.readouterr().err
    assert not (warehouse.parent / "x").exists()


@pytest.mark.parametrize("address", ["s3://bucket/../other", "/warehouse/%2e%2e/x", "a\nb", "ftp://x/y"])
def test_settings_are_plain_addresses(monkeypatch, address):
    monkeypatch.setenv("RECFLOW_PUBLISH", address)
    with pytest.raises(SettingError, match="RECFLOW_PUBLISH"):
        settings()


def test_a_record_names_no_contract_elsewhere():
    with pytest.raises(ContractError, match="'../registrations/mind' is no name of a contract"):
        load_contract("../registrations/mind")


BILLION_LAUGHS = "a: &a [1]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(("text", "told"), [
    ("a: !!python/object/apply:os.system [id]", "could not determine a constructor for the tag"),
    ("a: !!python/name:os.system", "could not determine a constructor"),
    (BILLION_LAUGHS,
     "values with what its aliases repeat; allowed: 100,000"),
    ("a: &a [*a]", "an alias at line 1 stands within what it names"),
    ("[" * 5000, "is nested too deeply"),
    ("a: " + "x" * 1_000_001, "characters; allowed: 1,000,000"),
])  # fmt: skip
def test_yaml_is_plain_and_bounded(tmp_path, text, told):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SolutionError) as refused:
        read_yaml(tmp_path / "s.yaml")
    assert f"{tmp_path}/s.yaml" in str(refused.value) and told in str(refused.value)
    with pytest.raises(SolutionError):
        load_solution(tmp_path / "s.yaml")


def test_aliases_that_repeat_a_little_are_read(tmp_path):
    (tmp_path / "s.yaml").write_text("a: &a {b: 1}\nc: [*a, *a]\nd: {<<: *a, e: 2}")
    assert read_yaml(tmp_path / "s.yaml") == {"a": {"b": 1}, "c": [{"b": 1}] * 2, "d": {"b": 1, "e": 2}}


# Calls that run what they are given. Why each that there is may stand:
ALLOWED = {
    (
        "jobs/ranking/training.py",
        "pickle.loads",
    ),  # between a process and the child that it starts, in a folder of its own
}
RUNS_CODE = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.loads",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "shelve.open", "joblib.load", "np.load",
    "cloudpickle.loads",
}  # fmt: skip


def test_nothing_in_the_code_runs_what_it_reads():
    found = set()
    for folder in ("jobs", "dags", "infra"):
        for file in (PROJECT_ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                place = str(file.relative_to(PROJECT_ROOT))
                if isinstance(node, ast.Call) and ast.unparse(node.func) in RUNS_CODE:
                    found.add((place, ast.unparse(node.func)))
                if isinstance(node, ast.keyword) and (node.arg, ast.unparse(node.value)) == ("shell", "True"):
                    found.add((place, "shell=True"))
                if isinstance(node, ast.Attribute) and node.attr in ("FullLoader", "UnsafeLoader", "CLoader", "Loader"):
                    found.add((place, f"yaml.{node.attr}"))
    assert found == ALLOWED


def test_the_address_of_a_table_stays_below_the_warehouse(warehouse):
    for table in ("../x", "/x", "a/b", ".hidden", "_x", "a\0", "s3://other/x", "x" * 201):
        with pytest.raises(ValidationError, match="table\n"):
            TableConfig(table=table, roles={"user_id": "u"})
    assert partitions.table_path(TableConfig(table="db.log-v1", roles={}).table).startswith(
        f"{warehouse}/warehouse/dev/"
    )
    assert Source(path="s3://lake/log").path == "s3://lake/log"
