"""What the audit of packages says, above all where it could not be done."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from types import SimpleNamespace

import pytest

from infra import audit
from tests.conftest import pytest_terminal_summary

FINE = {"name": "numpy", "version": "2.4.0", "vulns": []}
BAD = {"name": "flask", "version": "1.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}]}
LEFT_OUT = {"name": "polars", "skip_reason": "Dependency not found on PyPI and could not be audited"}
ENTRY = {"id": "CVE-1", "package": "flask", "why": "never called", "since": dt.date(2026, 11, 22)}


def audited(monkeypatch, *packages, accepted=(), stdout=None, stderr=""):
    text = json.dumps({"dependencies": packages}) if stdout is None else stdout
    answer = subprocess.CompletedProcess([], 1, text, stderr)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(audit, "accepted_advisories", lambda _: {entry["id"]: entry for entry in accepted})
    return audit.main()


@pytest.mark.parametrize(("packages", "accepted", "status", "said"), [
    ([FINE], [], 0, "audit: 1 packages looked up, 0 open advisories\n"),
    ([FINE, BAD], [], 1,
     "audit: flask 1.0: PYSEC-1: fixed in 1.1\naudit: 2 packages looked up, 1 open advisories\n"),
    ([BAD], [ENTRY], 0, "audit: flask 1.0: PYSEC-1: accepted since 2026-11-22: never called\n"
     "audit: 1 packages looked up, 0 open advisories\n"),
    ([FINE], [ENTRY], 0, "audit: CVE-1 is accepted and not found any more: take it out\n"
     "audit: 1 packages looked up, 0 open advisories\n"),
])  # fmt: skip
def test_what_was_looked_up_is_judged(monkeypatch, capsys, packages, accepted, status, said):
    assert audited(monkeypatch, *packages, accepted=accepted) == status
    assert capsys.readouterr().out == said


def test_what_was_not_looked_up_is_no_success(monkeypatch, capsys):
    assert audited(monkeypatch, FINE, LEFT_OUT) == audit.NOT_DONE
    assert "audit: NOT DONE: 1 of 2 packages could not be looked up (polars)" in capsys.readouterr().out
    assert audited(monkeypatch, FINE, LEFT_OUT, BAD) == audit.FOUND
    assert audited(monkeypatch, stdout="", stderr="a\nno module named pip_audit") == audit.NOT_DONE
    assert "audit: NOT DONE: no module named pip_audit: whether" in capsys.readouterr().out
    assert audited(monkeypatch) == audit.NOT_DONE


def test_the_end_of_a_ci_run_says_that_the_audit_was_not_done(monkeypatch, capsys):
    said = []
    monkeypatch.setenv("RECFLOW_AUDIT", "audit: flask 1.0: PYSEC-1: accepted\naudit: NOT DONE: no answer")
    pytest_terminal_summary(SimpleNamespace(write_line=said.append))
    assert said == ["audit: NOT DONE: no answer"]
    assert "\nRECFLOW_AUDIT=$(" in (audit.ROOT / ".ci" / "run").read_text()


def test_what_is_accepted_says_why_and_since_when(tmp_path):
    audit.accepted_advisories(audit.ACCEPTED)
    (tmp_path / "a.yaml").write_text("- {id: CVE-1, package: flask, since: 2026-11-22}")
    with pytest.raises(SystemExit, match="an entry has id, package, why and since"):
        audit.accepted_advisories(tmp_path / "a.yaml")
