"""Deployments: the same bytes for the same content, a record of each attempt, and one winner. No Spark."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import zipfile

import pytest

from jobs.deploy import active, package
from jobs.deploy import deploy as deploying
from jobs.deploy.check import check, syntax_errors
from jobs.deploy.deploy import deploy, listed, rollback
from jobs.deploy.description import described_all
from jobs.lib import cli
from jobs.lib.cli import main
from jobs.lib.errors import RecflowError
from jobs.lib.settings import PROJECT_ROOT

FILE = PROJECT_ROOT / "tests" / "dags" / "solution.yaml"


def unchecked(files):
    return {}


@pytest.fixture
def versions(warehouse):
    """Deploys copies of the fixture solution that differ in a comment; gives their versions, oldest first."""

    def make(*comments):
        found = []
        for comment in comments:
            file = warehouse / "solution.yaml"
            file.write_text(f"{FILE.read_text()}# {comment}\n")
            found.append(deploy(file, comment, unchecked).version)
        return found

    return make


def outcomes():
    return [(record.action, record.version, record.outcome) for record in listed()[0]]


def test_the_same_content_gives_the_same_bytes_and_another_content_another_version(tmp_path):
    files = package.contents(FILE)
    backwards = dict(reversed(list(files.items())))
    assert package.zipped(files) == package.zipped(backwards)
    more = package.zipped(files | {"jobs/lib/days.py": files["jobs/lib/days.py"] + b"# more\n"})
    assert package.version_of(more) != package.version_of(package.zipped(files))
    manifests = [package.manifest_of(package.zipped(f), f, {}) for f in (files, backwards)]
    assert manifests[0] == manifests[1]


def test_a_package_holds_code_contracts_and_the_solution_and_nothing_hidden(tmp_path):
    for name in (
        "dags/a.py",
        "dags/.env",
        "dags/.airflowignore",
        "jobs/__pycache__/a.pyc",
        "jobs/b.py",
        "schemas/c.yaml",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    for name in package.BESIDE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    expected = {"dags/a.py", "dags/.airflowignore", "jobs/b.py", "schemas/c.yaml", "solution.yaml", *package.BESIDE}
    assert set(package.contents(FILE, tmp_path)) == expected
    assert package.contents(FILE, tmp_path)["solution.yaml"] == FILE.read_bytes()


def test_a_deployment_stores_package_and_hashes_is_kept_and_becomes_active(versions):
    [version] = versions("one")
    store = active.deployments()
    whole = store.get(f"{version}/package.zip")
    manifest = json.loads(store.get(f"{version}/manifest.json"))
    assert manifest["package"]["sha256"] == package.file_hashes({"p": whole})["p"]
    folder = active.unpacked(store, active.active_version(store))
    with zipfile.ZipFile(folder / "package.zip") as archive:
        assert set(package.hashes_in(manifest)) == set(archive.namelist())
    assert (folder / "solution.yaml").read_text().endswith("# one\n")
    [record], current = listed()
    assert (record.number, record.who, record.version, record.outcome) == (1, "one", version, "done")
    assert current == version and record.before is None and record.when.endswith("+00:00")


def test_deploying_the_same_again_is_kept_and_changes_no_byte(versions):
    store = active.deployments()
    [version] = versions("one")
    before = {key: store.get(key) for key in store.list(version)}
    versions("one")
    assert {key: store.get(key) for key in store.list(version)} == before
    assert outcomes() == [("deploy", version, "done")] * 2


def test_what_fails_is_kept_with_the_error_and_leaves_active_what_was(versions, warehouse, capsys):
    [version] = versions("one")

    def refuse(files):
        raise RecflowError("jobs/recall/hot.py:3: invalid syntax")

    with pytest.raises(RecflowError, match="invalid syntax"):
        deploy(FILE, "two", refuse)
    with pytest.raises(RecflowError, match="nowhere.yaml: cannot be read"):
        deploy("nowhere.yaml", "three", unchecked)
    records, current = listed()
    assert current == version and [record.outcome for record in records] == ["done", "failed", "failed"]
    assert records[1].error == "jobs/recall/hot.py:3: invalid syntax" and records[1].before == version
    assert main(["deployments"]) == 0
    shown = capsys.readouterr().out
    assert "two  deploy p-" in shown and "failed\n      jobs/recall/hot.py:3: invalid syntax" in shown
    assert shown.count("  active") == 1 and "done  active" in shown.splitlines()[0]


def test_a_manifest_that_is_gone_does_not_stop_the_next_deployment(versions):
    [one] = versions("one")
    active.deployments().delete(f"{one}/manifest.json")
    [two] = versions("two")
    assert listed()[0][-1].what == f"not known, the manifest of {one} is gone" and listed()[1] == two


def test_a_store_that_takes_nothing_leaves_active_what_was(versions, monkeypatch):
    [version] = versions("one")
    real = package.PACKAGE

    def full(store, data, manifest):
        store.put(f"{package.version_of(data)}/{real}", data[:100])
        raise RecflowError("no space left")

    monkeypatch.setattr(deploying, "_put", full)
    with pytest.raises(RecflowError, match="no space left"):
        versions("two")
    assert active.active_version(active.deployments()) == version
    monkeypatch.undo()


def test_half_a_package_is_made_whole_by_the_next_attempt(versions, warehouse):
    file = warehouse / "solution.yaml"
    file.write_text(f"{FILE.read_text()}# one\n")
    data = package.zipped(package.contents(file))
    store = active.deployments()
    store.put(f"{package.version_of(data)}/package.zip", data[:1000])
    [version] = versions("one")
    assert version == package.version_of(data) and store.get(f"{version}/package.zip") == data


def test_a_package_that_was_changed_in_the_store_is_not_run(versions, monkeypatch, warehouse):
    one, two = versions("one", "two")
    store = active.deployments()
    store.put(f"{one}/package.zip", store.get(f"{two}/package.zip"))
    monkeypatch.setenv("RECFLOW_HOME", str(warehouse / "another machine"))
    monkeypatch.setenv("RECFLOW_PUBLISH", f"file://{warehouse}/published")
    with pytest.raises(RecflowError, match=f"is not the package of {one}: it was changed"):
        rollback(one, "me")
    assert active.active_version(store) == two and outcomes()[-1] == ("rollback", one, "failed")
    with pytest.raises(RecflowError, match="is no version"):
        active.unpacked(store, "../../etc")


def test_rollback_goes_back_step_by_step_and_to_a_version_by_name(versions):
    one, two, three = versions("one", "two", "three")
    assert [rollback(None, "me").version for _ in range(2)] == [two, one]
    with pytest.raises(RecflowError, match="no earlier deployment to go back to"):
        rollback(None, "me")
    assert rollback(three, "me").version == three == active.active_version(active.deployments())
    with pytest.raises(RecflowError, match=f"p-0 was never deployed; there are: {three}, {two}, {one}"):
        rollback("p-0", "me")
    assert rollback(None, "me").version == two  # the one before the active one, wherever we came from
    assert [outcome for _, _, outcome in outcomes()] == ["done"] * 5 + ["failed", "done", "failed", "done"]


def test_of_two_who_deploy_at_once_one_wins_and_the_other_is_told(versions, warehouse):
    [one] = versions("one")
    both = threading.Barrier(2)
    ended = {}

    def together(files):
        both.wait(timeout=30)
        return {}

    def attempt(name):
        file = warehouse / f"{name}.yaml"
        file.write_text(f"{FILE.read_text()}# {name}\n")
        try:
            ended[name] = deploy(file, name, together).version
        except RecflowError as error:
            ended[name] = str(error)

    threads = [threading.Thread(target=attempt, args=(name,)) for name in ("two", "three")]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    won = [version for version in ended.values() if package.is_version(version)]
    assert won == [active.active_version(active.deployments())]
    assert "someone else deployed meanwhile" in " ".join(ended.values())
    assert sorted(outcome for _, _, outcome in outcomes()) == ["done", "done", "failed"]
    assert [record.number for record in listed()[0]] == [1, 2, 3]


def test_a_file_that_does_not_parse_is_named_with_its_line():
    files = {"jobs/a.py": b"x = 1\ny = (\n", "jobs/b.yaml": b"(", "dags/c.py": b"ok = 1\n"}
    [line] = syntax_errors(files)
    assert line.startswith("jobs/a.py:2: ")


def test_the_package_itself_is_asked_whether_solution_jobs_and_dags_hold(tmp_path):
    files = package.contents(FILE)
    with pytest.raises(RecflowError, match=r"^solution.yaml: nonsense: unknown key; allowed: ") as refused:
        check(files | {"solution.yaml": FILE.read_bytes() + b"nonsense: 1\n"})
    assert str(tmp_path) not in str(refused.value)
    broken = {"dags/broken.py": b"import nowhere_at_all\n", "dags/good.py": b"x = 1\n"}
    light = {name: data for name, data in files.items() if not (name.startswith("dags/") and name.endswith(".py"))}
    with pytest.raises(RecflowError, match=r"^dags/broken.py:1: ModuleNotFoundError: .*'nowhere_at_all'$"):
        check(light | broken)
    assert check(light | {"dags/good.py": b"import flowlib\n"}) == json.loads(json.dumps(described_all(FILE)))


@pytest.fixture
def started(monkeypatch):
    """What a command would become."""
    found = []

    def execve(file, arguments, environment):
        found.append((arguments, environment))
        raise SystemExit(0)

    monkeypatch.setattr("os.execve", execve)
    return found


def test_the_next_run_from_the_command_line_is_by_the_active_version(versions, started):
    versions("one")
    [two] = versions("two")
    with pytest.raises(SystemExit):
        main(["run", "hot", "--ds", "20261121"])
    with pytest.raises(SystemExit):
        main(["status", "--solution", "detail_page"])  # by its name: the scenario of the version
    (arguments, environment), (named, _) = started
    assert named[1:] == ["-m", "jobs.lib.cli", "status", "--solution", "detail_page"]
    assert arguments[1:] == ["-m", "jobs.lib.cli", "run", "hot", "--ds", "20261121"]
    where = (
        "from jobs.lib import settings, solution as s; import flowlib; "
        "print(settings.PROJECT_ROOT, s.load_solution().path, flowlib.__file__, s.load_solution('detail_page').path)"
    )
    # Started in this checkout, and with this checkout's own settings, it still is the version's code and solution.
    environment |= {"RECFLOW_SOLUTION": str(FILE)}
    ended = subprocess.run(
        [sys.executable, "-c", where], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    root = active.settings().home / "deployments" / two
    beside = [str(root / name) for name in ("solution.yaml", "dags/flowlib/__init__.py", "dags/detail_page.yaml")]
    assert ended.stdout.split() == [str(root), *beside]


def test_a_solution_that_is_named_and_a_home_without_deployments_run_the_code_at_hand(versions, started, monkeypatch):
    monkeypatch.setattr("jobs.flow.running.run_node", lambda *given: None)
    assert main(["run", "hot", "--ds", "20261121"]) == 0
    versions("one")
    assert main(["run", "hot", "--ds", "20261121", "--solution", str(FILE)]) == 0
    monkeypatch.setattr(active, "is_deployed", lambda: True)  # a deployed version stays what it is
    assert main(["run", "hot", "--ds", "20261121"]) == 0
    assert started == [] and "plan" not in cli.DEPLOYED


def test_nothing_is_run_where_the_active_version_cannot_be_had(versions, started, warehouse, monkeypatch, capsys):
    [version] = versions("one")
    monkeypatch.setenv("RECFLOW_PUBLISH", f"file://{warehouse}/published")
    monkeypatch.setenv("RECFLOW_HOME", str(warehouse / "new"))
    active.deployments().delete(f"{version}/package.zip")
    assert main(["run", "hot", "--ds", "20261121"]) == 1
    assert "no object at file://" in capsys.readouterr().err and started == []
