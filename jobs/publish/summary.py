"""What a run made, as a short table for the terminal. Reads with deltalake, so that no Spark has to start."""

from __future__ import annotations

from jobs.lib import partitions
from jobs.lib.settings import settings
from jobs.lib.solution import Solution

LIST_MEASURES = (("hit_rate", 10), ("recall", 10), ("ndcg", 10), ("coverage", 10), ("hit_rate", 50), ("recall", 50))

RANKINGS = (
    ("ranking", "model"),
    ("ranking:item_ctr", "item CTR alone"),
    ("ranking:popularity", "popularity alone"),
)


def print_summary(solution: Solution, ds: str, best_auc: float | None = None) -> None:
    """Rows, ranking and recall quality, the bundle's address, and one user's list with titles."""
    rows = [("table", "rows")] + _row_counts(solution, ds)
    print(f"\n{solution.scenario} ds={ds}\n" + _aligned(rows))
    figures = _evaluation(solution, ds)
    print("\nRanking: yesterday's model on today's impressions\n" + _aligned(_ranking(figures, best_auc)))
    print("\nLists: yesterday's lists against today's " + solution.target + "s\n" + _aligned(_lists(figures)))
    print(f"\nPublished: {settings().publish_root}/{solution.scenario}/latest.json")
    print(_one_list(solution, ds))


def _row_counts(solution: Solution, ds: str) -> list[tuple[str, str]]:
    inputs = [t.table for t in (solution.tables.user, solution.tables.item, solution.tables.behavior) if t is not None]
    counted = []
    for table in [*inputs, *(solution.table(node.name) for node in solution.nodes())]:
        record = partitions.record(table, ds)
        if record is not None:
            counted.append((table, f"{record['rows']:,}"))
    return counted


def _evaluation(solution: Solution, ds: str) -> dict[tuple[str, str, int], float]:
    """Of all rows, without slices."""
    table = _rows(solution.table("evaluation"), ds)
    return {(row["subject"], row["measure"], row["k"]): row["value"] for row in table if not row.get("slice")}


def _ranking(figures: dict, best_auc: float | None) -> list[tuple[str, ...]]:
    measures = ("auc", "gauc", "log_loss", "ne")
    lines = [("", *measures)]
    for subject, shown in RANKINGS:
        if any((subject, measure, 0) in figures for measure in measures):
            lines.append((shown, *[_number(figures.get((subject, measure, 0))) for measure in measures]))
    if best_auc is not None:
        lines.append(("best possible", _number(best_auc), "", "", ""))
    return lines if len(lines) > 1 else [("not evaluated", "no model or no lists of the day before")]


def _lists(figures: dict) -> list[tuple[str, ...]]:
    subjects = sorted(
        {subject for subject, measure, _ in figures if measure == "hit_rate"}, key=lambda s: (s == "popularity", s)
    )
    shown = [(subject, *[_number(figures.get((subject, *wanted))) for wanted in LIST_MEASURES]) for subject in subjects]
    return [("", *[f"{measure}@{k}" for measure, k in LIST_MEASURES]), *shown] if shown else [("not evaluated",)]


def _one_list(solution: Solution, ds: str) -> str:
    """The first five recommendations of the first user, with titles where the item table has them."""
    table = solution.table("recommendations")
    rows = [row for row in _rows(table, ds, ["user_id", "item_id", "rank", "score"]) if row["rank"] <= 5]
    if not rows:
        return "No recommendations: no active user."
    user = min(row["user_id"] for row in rows)
    titles = _titles(solution, ds)
    mine = sorted((row["rank"], row["item_id"], row["score"]) for row in rows if row["user_id"] == user)
    listed = [(f"  {rank}", item, f"{score:.4f}", titles.get(item, "")) for rank, item, score in mine]
    return f"\nRecommendations for user {user}\n" + _aligned(listed)


def _titles(solution: Solution, ds: str) -> dict[str, str]:
    config = solution.tables.item
    day = partitions.as_of_day(config, ds) if config else None
    if day is None or config.roles.title is None:
        return {}
    columns = [config.roles.item_id, config.roles.title]
    return {str(row[columns[0]]): row[columns[1]] for row in _rows(config.table, day, columns)}


def _rows(table: str, ds: str, columns: list[str] | None = None) -> list[dict]:
    if partitions.record(table, ds) is None:
        return []
    return partitions.read_arrow(table, ds, columns).to_pylist()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=False)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)
