"""Is a package fit to be deployed? Its own code says so: it is unpacked and read in a process of its own.

Every Python file parses, every contract, registration and solution holds, every job and every DAG file can be imported.
That process has an empty home, so that nothing of this installation is touched.
"""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from jobs.deploy import package
from jobs.lib.errors import RecflowError
from jobs.lib.settings import PROJECT_ROOT, SCHEMAS

TIMEOUT_SEC = 300
LAST_LINES = 3


def check(files: dict[str, bytes]) -> dict[str, Any]:
    """Scenario -> description of what the package amounts to. Raises RecflowError with what does not hold."""
    if problems := syntax_errors(files):
        raise RecflowError("\n".join(problems))
    with tempfile.TemporaryDirectory(prefix="recflow-check-") as folder:
        root, home = Path(folder, "package"), Path(folder, "home")
        home.mkdir()
        package.unpack(package.zipped(files), root)
        command = [sys.executable, "-m", "jobs.deploy.check"]
        environment = _environment(root, home)
        try:
            ended = subprocess.run(
                command, env=environment, cwd=home, capture_output=True, text=True, timeout=TIMEOUT_SEC
            )
        except subprocess.TimeoutExpired:
            raise RecflowError(f"the package could not be checked within {TIMEOUT_SEC} s") from None
    answer = _answer(ended.stdout)
    if answer is None:
        last = "; ".join(ended.stderr.strip().splitlines()[-LAST_LINES:])
        raise RecflowError(f"the package could not be checked: {last or f'exit status {ended.returncode}'}")
    if answer["problems"]:
        raise RecflowError("\n".join(answer["problems"]))
    return answer["scenarios"]


def syntax_errors(files: dict[str, bytes]) -> list[str]:
    """`jobs/recall/hot.py:12: invalid syntax` of each Python file that does not parse."""
    found = []
    for name, content in files.items():
        if name.endswith(".py"):
            try:
                ast.parse(content, name)
            except (SyntaxError, ValueError) as error:
                found.append(f"{name}:{getattr(error, 'lineno', 0)}: {getattr(error, 'msg', error)}")
    return found


def main() -> None:
    """In the package's own process: problems and description as one line of JSON, the last one of the output."""
    problems, scenarios = [], {}
    try:
        scenarios = _described()
    except RecflowError as error:
        problems = [line.replace(f"{PROJECT_ROOT}/", "") for line in str(error).splitlines()]
    except Exception as error:
        problems = [_told(error)]
    problems += [] if problems else _dags()
    print(json.dumps({"problems": problems, "scenarios": scenarios}), flush=True)


def _described() -> dict[str, Any]:
    from jobs.data.registration import load_registration
    from jobs.deploy.description import described, solutions
    from jobs.lib.contracts import load_contract

    for file in sorted(SCHEMAS.glob("*.yaml")):
        load_contract(file.stem)
    for file in sorted((SCHEMAS / "registrations").glob("*.yaml")):
        load_registration(file)
    return {scenario: described(solution) for scenario, solution in solutions(None).items()}  # imports every job


def _dags() -> list[str]:
    """Each file as Airflow reads it."""
    problems = []
    for file in sorted((PROJECT_ROOT / "dags").glob("*.py")):
        try:
            runpy.run_path(str(file))
        except Exception as error:
            problems.append(_told(error))
    return problems


def _told(error: Exception) -> str:
    """With the last line of the package that it went through."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}".replace(f"{PROJECT_ROOT}/", "")
    root = f"{PROJECT_ROOT}/"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)]
    where = f"{own[-1].filename.removeprefix(root)}:{own[-1].lineno}: " if own else ""
    return f"{where}{type(error).__name__}: {error}"


def _environment(root: Path, home: Path) -> dict[str, str]:
    """Without settings of another Airflow, or the address of another solution."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "RECFLOW_"))}
    path = os.pathsep.join([str(root), str(root / "dags")])
    own = {"RECFLOW_HOME": str(home), "AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return kept | own | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _answer(output: str) -> dict[str, Any] | None:
    try:
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None


if __name__ == "__main__":
    main()
