"""Spark's names, imported on first use.

Solution files are validated with the parameter classes that stand in the job files, and Airflow's DAG processor and
triggerer do that without Spark. So job files take `F`, `Window` and `T` from here instead of importing pyspark.
"""

from __future__ import annotations

import importlib
from typing import Any


class _Lazy:
    def __init__(self, module: str, attribute: str | None = None) -> None:
        self._module, self._attribute = module, attribute

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        target = importlib.import_module(self._module)
        return getattr(getattr(target, self._attribute) if self._attribute else target, name)


F = _Lazy("pyspark.sql.functions")
T = _Lazy("pyspark.sql.types")
Window = _Lazy("pyspark.sql.window", "Window")
