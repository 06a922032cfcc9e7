"""`recflow backfill` from the UI: trigger it, fill in the form, read the plan in the log of its first node.

One DAG per scenario, not scheduled. Unlike Airflow's own backfill of a flow it runs a range as a whole, node by node,
in one pass where later days look back on it; it repeats nothing that is what it would be made from now, and it repairs
what is stale. Tables are locked one at a time, so daily runs go on beside it.
"""

from airflow.sdk import DAG, Param

from flowlib.commands import CommandNode
from flowlib.notify import tell_failure
from jobs.lib.scenarios import those_that_hold

DAY = {"type": "string", "pattern": "^[0-9]{8}$", "description": "yyyymmdd"}
NAMES = {"type": ["null", "array"], "items": {"type": "string"}}


def command(solution, action):
    def arguments(params):
        asked = ["backfill", action, "--solution", solution.path, "--from", params["from"], "--to", params["to"]]
        for flag in ("nodes", "exclude"):
            asked += [f"--{flag}", *params[flag]] if params[flag] else []
        for flag in ("force", "publish_every", "set_latest"):
            asked += [f"--{flag.replace('_', '-')}"] if params[flag] else []
        return [*asked, "--parallel", str(params["parallel"])]

    return arguments


def backfill(solution):
    with DAG(
        dag_id=solution.table("backfill"),
        schedule=None,
        max_active_runs=1,
        is_paused_upon_creation=False,  # it runs only when somebody triggers it
        doc_md=__doc__,
        tags=["recflow"],
        params={
            "from": Param(**DAY, title="First day"),
            "to": Param(**DAY, title="Last day"),
            "nodes": Param(None, **NAMES, title="Nodes", description="these and all that read them; none: all"),
            "exclude": Param(None, **NAMES, title="Exclude", description="never run these"),
            "force": Param(False, type="boolean", title="Force", description="also what is present"),
            "publish_every": Param(False, type="boolean", title="Publish every ds", description="not only the last"),
            "set_latest": Param(
                False, type="boolean", title="Set latest", description="readers may go back to an older ds"
            ),
            "parallel": Param(1, type="integer", minimum=1, title="Nodes at a time"),
        },
    ) as dag:
        about = {"solution_path": solution.path, "on_failure_callback": tell_failure}
        plan = CommandNode(
            task_id="plan", arguments=command(solution, "plan"), doc_md="Says what would run, and why.", **about
        )
        plan >> CommandNode(
            task_id="run",
            arguments=command(solution, "run"),
            doc_md="Runs it, and stops at the first failure.",
            **about,
        )
    return dag


solutions, _ = those_that_hold()  # dags/solutions_hold.py shows what is wrong with the others
globals().update({solution.table("backfill"): backfill(solution) for solution in solutions.values()})
