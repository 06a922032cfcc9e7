"""Settings by environment: where tables, published bundles and logs live."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from jobs.lib.errors import SettingError
from jobs.lib.safe_paths import check_address

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = PROJECT_ROOT / "schemas"
ENVIRONMENTS = ("dev", "staging", "prod")


@dataclass(frozen=True)
class Settings:
    """The addresses of one installation. `env` is part of every address, so that two environments never mix."""

    home: Path
    warehouse: str
    publish: str
    spark_master: str
    env: str

    @property
    def warehouse_root(self) -> str:
        """Folder or URL that holds one Delta table per name."""
        return f"{self.warehouse}/{self.env}"

    @property
    def publish_root(self) -> str:
        """URL under which each scenario publishes its bundles."""
        return f"{self.publish}/{self.env}"

    @property
    def jars(self) -> Path:
        """Delta and S3 jars: they belong to the installation, so they live beside pyspark and not in RECFLOW_HOME."""
        return Path(sys.prefix) / "share" / "recflow" / "jars"


def settings() -> Settings:
    """Read the environment. Raises SettingError naming the variable."""
    home = Path(os.environ.get("RECFLOW_HOME") or PROJECT_ROOT / ".recflow").absolute()
    env = os.environ.get("RECFLOW_ENV") or "dev"
    if env not in ENVIRONMENTS:
        raise SettingError(f"RECFLOW_ENV is {env!r}; allowed: {', '.join(ENVIRONMENTS)}")
    return Settings(
        home=home,
        warehouse=_address("RECFLOW_WAREHOUSE", str(home / "warehouse"), ("s3a", "file")),
        publish=_address("RECFLOW_PUBLISH", f"file://{home}/published", ("s3", "s3a", "file")),
        spark_master=os.environ.get("RECFLOW_SPARK_MASTER") or "local[*]",
        env=env,
    )


def _address(variable: str, default: str, schemes: tuple[str, ...]) -> str:
    address = (os.environ.get(variable) or default).rstrip("/")
    scheme, separator, rest = address.partition("://")
    try:
        check_address(address)
    except ValueError as error:
        raise SettingError(f"{variable}: {error}") from None
    if not separator:
        return str(Path(address).absolute())
    if scheme not in schemes or not rest:
        allowed = ", ".join(f"{s}://…" for s in schemes)
        raise SettingError(f"{variable} is {address!r}; allowed: a path or {allowed}")
    return address
