"""The policies of infra/storage: narrow as they are written, and as a server enforces them.

That server is versitygw with its IAM service, which evaluates the very files; moto does not look at resources.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time

import boto3
import deltalake
import pyarrow as pa
import pytest

from jobs.data.source_files import filesystem_of, listed, opened
from jobs.lib import partitions, s3_client
from jobs.lib.cli import main
from jobs.lib.delta_files import DataFile, replace_days
from jobs.lib.files import make_folder
from jobs.lib.forgotten import marks
from jobs.lib.locks import writing
from jobs.lib.object_store import StoreError, open_store
from jobs.lib.pseudonyms import note
from jobs.lib.settings import PROJECT_ROOT
from tests.data.imports import registration
from tests.lib.stores import versitygw_program
from tests.publish.test_release import publish

FOLDER = PROJECT_ROOT / "infra" / "storage"
NAMES = {"WAREHOUSE_BUCKET": "tables", "PUBLISH_BUCKET": "lists", "IMPORT_BUCKET": "files", "ENV": "dev"}
NAMES |= {"SCENARIO": "home_page", "NAME": "shop"}
READ = {"s3:ListBucket", "s3:GetObject"}
UPLOADS = {"s3:ListBucketMultipartUploads"}  # that did not end: the weekly clean-up drops them
WRITE = {"s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}


def policy(name: str) -> str:
    """As README says that it is filled in."""
    text = (FOLDER / f"{name}.json").read_text()
    for placeholder, value in NAMES.items():
        text = text.replace(placeholder, value)
    return text


@pytest.mark.parametrize(
    ("name", "actions"), [("pipeline", READ | WRITE | UPLOADS), ("consumer", READ), ("importer", READ | WRITE)]
)
def test_a_policy_allows_named_actions_below_named_prefixes(name, actions):
    statements = json.loads(policy(name))["Statement"]
    assert {action for one in statements for action in one["Action"]} == actions
    for one in statements:
        assert one["Effect"] == "Allow" and set(one) == {"Sid", "Effect", "Action", "Resource"}
        for resource in one["Resource"]:
            bucket, _, path = resource.removeprefix("arn:aws:s3:::").partition("/")
            assert bucket in ("tables", "lists", "files")  # a name, and none with a star
            assert (not path) == one["Action"][0].startswith("s3:ListBucket")
            fixed = path.partition("*")[0]
            assert not path or fixed.startswith(("warehouse/dev/", "published/dev/")) or resource.endswith(":files/*")


def test_who_may_change_what():
    changed = {
        name: {r for s in json.loads(policy(name))["Statement"] if WRITE & set(s["Action"]) for r in s["Resource"]}
        for name in ("pipeline", "consumer", "importer")
    }
    assert changed["consumer"] == set()
    assert changed["pipeline"] == {"arn:aws:s3:::tables/warehouse/dev/*", "arn:aws:s3:::lists/published/dev/*"}
    assert all("shop" in resource.rpartition("/dev/")[2] for resource in changed["importer"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """(address of S3, {user: (access key, secret)}) of a server with the three buckets and a user for each policy."""
    program, folder = versitygw_program(), tmp_path_factory.mktemp("iam")
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(probe.getsockname()[1])
    for name in ("iam", "data"):
        (folder / name).mkdir()
    environment = os.environ | {"ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "test"}
    link = f"/tmp/recflow-iam-{os.getpid()}.sock"  # the path of a socket must be short
    started = []

    def start(port: int, *arguments: str) -> None:
        command = [program, "--quiet", "--port", f"127.0.0.1:{port}", *arguments]
        with open(folder / f"{port}.log", "w") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                assert started[-1].poll() is None and time.monotonic() < deadline, "versitygw does not start"
                time.sleep(0.05)

    try:
        start(ports[0], "iam", "--dir", str(folder / "iam"), "--private-ports", link)
        start(ports[1], "--iam-standalone-endpoint", link, "posix", str(folder / "data"))
        yield f"http://127.0.0.1:{ports[1]}", _users(*(f"http://127.0.0.1:{port}" for port in ports))
    finally:
        for process in started:
            process.kill()
            process.wait()


def _short(document: str) -> str:
    """As IAM counts it: spaces are free."""
    return json.dumps(json.loads(document), separators=(",", ":"))


def _users(iam_address: str, s3_address: str) -> dict[str, tuple[str, str]]:
    known = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=iam_address, **known)
    s3 = boto3.client("s3", endpoint_url=s3_address, **known)
    users = {"root": ("test", "test")}
    for bucket in ("tables", "lists", "files", "others"):
        s3.create_bucket(Bucket=bucket)
    for name in ("pipeline", "consumer", "importer"):
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=_short(policy(name)))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        users[name] = (key["AccessKeyId"], key["SecretAccessKey"])
    return users


@pytest.fixture
def become(gateway, warehouse, monkeypatch):
    """A function that makes this process one of the users, with the addresses that the policies are about."""
    address, users = gateway
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("RECFLOW_WAREHOUSE", "s3a://tables/warehouse")
    monkeypatch.setenv("RECFLOW_PUBLISH", "s3://lists/published")

    def user(name: str) -> None:
        for variable, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), users[name], strict=True):
            monkeypatch.setenv(variable, value)
        s3_client._client.cache_clear()

    yield user
    s3_client._client.cache_clear()


def refused(*acts):
    for act in acts:
        with pytest.raises((StoreError, OSError, deltalake.exceptions.DeltaError)) as error:
            act()
        assert any(
            word in str(error.value) for word in ("not allowed", "denied", "Denied", "403", "Forbidden", "ACCESS")
        )


def write_a_day(table: str) -> None:
    """One day of a table and its record, by the doors that recflow uses."""
    address = partitions.table_path(table)
    filesystem, path = filesystem_of(f"{address}/ds=20261101/part-0.parquet")
    rows = pa.table({"user_id": ["u"]})
    make_folder(filesystem, path.rpartition("/")[0])
    pa.parquet.write_table(rows, path, filesystem=filesystem)
    size = filesystem.get_file_info(path).size
    schema = deltalake.Schema.from_arrow(rows.schema.append(pa.field("ds", pa.string())))
    partitions.forget(table, ["20261101"])
    replace_days(address, ["20261101"], [DataFile("ds=20261101/part-0.parquet", "20261101", size, 1, 0)], schema)
    partitions.write_record(table, "20261101", {"rows": 1})


def test_the_pipeline_writes_tables_and_publishes_and_nothing_else(become):
    become("pipeline")
    write_a_day("home_page_hot")
    assert partitions.read_arrow("home_page_hot", "20261101", ["user_id"]).num_rows == 1
    store = open_store("s3://lists/published/dev/home_page")
    publish(store, b"first", "20261101")
    assert main(["bundle", "verify", store.root]) == 0
    outside = [open_store(f"s3://{root}") for root in ("others/a", "files/a", "tables/warehouse/prod", "lists/a")]
    refused(*(lambda o=o: o.put("a", b"") for o in outside), lambda: outside[0].list(), lambda: outside[1].get("a"))


def test_a_consumer_reads_bundles_and_changes_nothing(become, capsys):
    become("pipeline")
    store = open_store("s3://lists/published/dev/home_page")
    folder = publish(store, b"second", "20261102")
    open_store("s3://lists/published/dev").put("_deployments/active.json", b"{}")
    open_store("s3://tables/warehouse/dev").put("_partitions/a/b.json", b"{}")
    become("consumer")
    assert main(["bundle", "verify", store.root]) == 0
    assert main(["bundle", "list", "--address", store.root]) == 0
    assert folder.partition("/v=")[2] in capsys.readouterr().out
    mine, theirs = open_store(store.root), open_store("s3://tables/warehouse/dev")
    refused(
        lambda: mine.put("latest.json", b""),
        lambda: mine.swap("latest.json", mine.get("latest.json"), b""),
        lambda: mine.delete(f"{folder}/manifest.json"),
        lambda: theirs.list(),
        lambda: theirs.get("_partitions/a/b.json"),
        lambda: open_store("s3://lists/published/dev").get("_deployments/active.json"),
    )
    assert main(["bundle", "pin", "20261102", "--address", store.root]) == 1
    assert "may not do PutObject" in capsys.readouterr().err
    assert main(["bundle", "verify", store.root]) == 0


def test_an_importer_reads_files_and_writes_its_own_tables(become):
    become("root")
    open_store("s3://files/in").put("log.csv", b"uid,sku\n")
    open_store("s3://tables/warehouse/dev").put("_runs/home_page_hot/20261101.json", b"{}")
    become("importer")
    [file] = listed("s3://files/in", registration().files.behavior)
    assert opened(file).read() == b"uid,sku\n"
    assert marks("shop_behavior") == frozenset()
    with writing("_import-shop", "shop_behavior", "shop_quarantine"):
        for table in ("shop_behavior", "shop_quarantine"):
            write_a_day(table)
    note("shop_behavior", "SHOP_KEY")
    warehouse = open_store("s3://tables/warehouse/dev")
    warehouse.put("_staging/shop/a", b"")
    warehouse.delete("_staging/shop/a")
    warehouse.put("_quality/20261101/shop_behavior/imported_behavior.json", b"{}")
    refused(
        lambda: write_a_day("home_page_hot"),
        lambda: write_a_day("shop_hot"),  # of a scenario that is called as the registration is
        lambda: warehouse.put("_partitions/shop_hot/20261101.json", b""),
        lambda: warehouse.put("_writers/shop_hot.json", b""),
        lambda: warehouse.put("_partitions/home_page_hot/20261101.json", b""),
        lambda: warehouse.get("_runs/home_page_hot/20261101.json"),
        lambda: warehouse.put("_forgotten/shop_behavior/x", b""),
        lambda: open_store("s3://files/in").put("log.csv", b""),
        lambda: open_store("s3://lists/published/dev/home_page").list(),
    )
