"""The DAG bundle of the deployed version: how Airflow gets the code that a run is to use.

Airflow asks a bundle for its version whenever it reads the DAGs, keeps that version with each run that it makes, and
gives it back when a node of the run starts. So the next run is by the version that `recflow deploy` or `rollback` made
active, and one that is under way ends with its own. Where nothing was deployed the DAGs are the installation's own, as
they are, and runs have no version: those under way at the first deployment go on with what is active. (A DAG file that
is added there is seen at the next start, for Airflow looks for new files where a version is new.)

Triggers (waiting anchors) and plugins (the `Output` pages) belong to long-lived processes: these keep the
installation's own code.
"""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion

from jobs.deploy.active import active_version, deployments, unpacked
from jobs.lib.object_store import Store
from jobs.lib.settings import PROJECT_ROOT

PACKAGES = ("jobs", "flowlib")


class DeployedBundle(BaseDagBundle):
    """version: that of the run whose node starts; None in the DAG processor, which follows what is active."""

    supports_versioning = True

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._root, self._active = PROJECT_ROOT, None

    @property
    def path(self) -> Path:
        return self._root / "dags"

    @cached_property
    def _store(self) -> Store:
        """Opened once: what is imported for that must be the code that asks it."""
        return deployments()

    def initialize(self) -> None:
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        self._active = self.version or active_version(self._store)
        if self._active is None:
            return
        root = unpacked(self._store, self._active)
        # Airflow's own cleaning up removes folders of versions that it has seen here, and fails where there is none.
        (self.versions_dir / self._active).mkdir(parents=True, exist_ok=True)
        if root != self._root:
            self._root = root
            _import_from(root)

    def get_current_version(self) -> BundleVersion | None:
        return BundleVersion(self._active) if self._active is not None else None


def _import_from(root: Path) -> None:
    """What this process, and those that it forks to read DAG files, import from now on."""
    deployed = str(root.parent)
    sys.path[:] = [str(root), str(root / "dags"), *(p for p in sys.path if not p.startswith(f"{deployed}/"))]
    for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[name]
