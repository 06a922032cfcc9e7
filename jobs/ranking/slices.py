"""Parts of the samples that are judged on their own: scenes, new and old users and items, item categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jobs.lib.solution import Solution

if TYPE_CHECKING:
    import pyarrow as pa

NEW_DAYS = 7  # a user or item younger than this, at the end of the day before, is new
MOST_VALUES = 20  # of a column, by rows; the rest is `other`
OTHER, UNKNOWN = "other", "unknown"


def slices(rows: pa.Table, solution: Solution) -> dict[str, np.ndarray]:
    """`name=value` -> which rows are in it (bool). rows: samples with the model's columns.

    New: registered, or listed, less than NEW_DAYS ago; where that is not known, without any event in the longest
    feature window. Categories are those of the item table's first categorical column.
    """
    masks = _by_value("scene", rows, "scene") if solution.tables.behavior.roles.scene else {}
    for side, age in (("user", "registered_days"), ("item", "listed_days")):
        is_new = _is_new(rows, f"{side}__{age}", f"{side}__history_days")
        if is_new is not None:
            masks |= {f"{side}=new": is_new, f"{side}=old": ~is_new}
    item = solution.tables.item
    if item is not None and item.roles.categorical:
        masks |= _by_value(f"item_{item.roles.categorical[0]}", rows, f"item__{item.roles.categorical[0]}")
    return {name: mask for name, mask in masks.items() if mask.any()}


def _is_new(rows: pa.Table, age: str, history: str) -> np.ndarray | None:
    """None where nothing is known of any row."""
    days, known = (_numbers(rows, name) for name in (age, history))
    if days is None:
        return None if known is None else np.isnan(known)
    without_age = np.isnan(days)
    has_no_history = np.isnan(known) if known is not None else np.zeros(len(days), bool)
    return np.where(without_age, has_no_history, days < NEW_DAYS)


def _numbers(rows: pa.Table, name: str) -> np.ndarray | None:
    return rows.column(name).to_numpy(zero_copy_only=False) if name in rows.column_names else None


def _by_value(label: str, rows: pa.Table, column: str) -> dict[str, np.ndarray]:
    import pyarrow.compute as pc

    if column not in rows.column_names:
        return {}
    encoded = pc.fill_null(rows.column(column), UNKNOWN).combine_chunks().dictionary_encode()
    values, code = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(code, minlength=len(values))
    most = sorted(range(len(values)), key=lambda place: (-counts[place], values[place]))[:MOST_VALUES]
    place = np.full(len(values), MOST_VALUES)
    place[most] = np.arange(len(most))
    if OTHER in values:  # a category that is called so is one of them
        place[values.index(OTHER)] = MOST_VALUES
    named = {n: f"{label}={values[at]}" for n, at in enumerate(most) if values[at] != OTHER}
    at_row = place[code]
    return {name: at_row == n for n, name in {**named, MOST_VALUES: f"{label}={OTHER}"}.items()}
