"""Which deployed version is active, and where it is unpacked: what every command and every Airflow process asks first.

`_deployments/active.json` under the publish prefix names the version. Who needs a version unpacks its package into
RECFLOW_HOME/deployments/<version>, once; that folder is then the root of the code, as a checkout is. A process keeps
the version that it began with, and a run of Airflow the one that it was made with (flowlib/bundle.py).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from jobs.deploy.package import MANIFEST, PACKAGE, is_version, unpack, version_of
from jobs.lib.errors import RecflowError
from jobs.lib.object_store import MissingObject, Store, open_store
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import DEPLOYED_SOLUTION

POINTER = "active.json"


def deployments() -> Store:
    return open_store(f"{settings().publish_root}/_deployments")


def is_deployed() -> bool:
    """Does this very process run a deployed version?"""
    return (PROJECT_ROOT / DEPLOYED_SOLUTION).exists()


def pointer(store: Store) -> bytes | None:
    try:
        return store.get(POINTER)
    except MissingObject:
        return None


def active_version(store: Store) -> str | None:
    """None where nothing was deployed: then the installation's own code is what runs."""
    text = pointer(store)
    return json.loads(text)["version"] if text is not None else None


def manifest_in(store: Store, version: str) -> dict[str, Any]:
    return json.loads(store.get(f"{version}/{MANIFEST}"))


def unpacked(store: Store, version: str) -> Path:
    """The folder of a version. Raises RecflowError where its package is not what its name says."""
    if not is_version(version):
        raise RecflowError(f"{version!r} is no version: p- and 16 hex digits are expected")
    folder = settings().home / "deployments" / version
    if not folder.exists():
        package = store.get(f"{version}/{PACKAGE}")
        if version_of(package) != version:
            raise RecflowError(f"{store.url(f'{version}/{PACKAGE}')} is not the package of {version}: it was changed")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unpack(package, folder)
    return folder


def environment(root: Path) -> dict[str, str]:
    """Of a process that runs the code of a version, whatever folder it is started in."""
    config = settings()
    path = [str(root), str(root / "dags"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "RECFLOW_HOME": str(config.home),
        "RECFLOW_WAREHOUSE": config.warehouse,
        "RECFLOW_PUBLISH": config.publish,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONSAFEPATH": "1",  # the folder that it is started in may be another checkout
    }


def go_on_in_it(argv: list[str]) -> None:
    """Become the active version's `recflow` with these arguments; return where there is none, or where this is one."""
    if is_deployed():
        return
    store = deployments()
    version = active_version(store)
    if version is None:
        return
    root = unpacked(store, version)
    print(f"recflow: deployed version {version}", file=sys.stderr, flush=True)
    os.execve(sys.executable, [sys.executable, "-m", "jobs.lib.cli", *argv], environment(root))
