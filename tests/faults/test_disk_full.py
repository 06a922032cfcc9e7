"""A disk that is full while a partition, its record or a bundle is written."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest

from jobs.flow.running import run_node
from jobs.lib import partitions, tables
from jobs.lib.errors import RecflowError
from jobs.publish import publish
from tests.faults.world import LAST, differences, published_problems, seen

SIZE = "96m"


@pytest.fixture
def small_disk(warehouse, undisturbed):
    """A copy of `undisturbed` on a disk of its own. Mounting one takes root."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", warehouse], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(undisturbed[0], warehouse, dirs_exist_ok=True)
        yield warehouse
    finally:
        subprocess.run(["umount", "--lazy", warehouse], check=True)


def fill(folder):
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


MOMENTS = [
    ("actions_daily", tables, "_written"),
    ("actions_daily", partitions, "write_record"),
    ("rank_samples", tables, "_written"),
    ("publish", publish, "_tables"),
]


@pytest.mark.parametrize("name, module, function", MOMENTS)
def test_a_full_disk_is_named_and_when_there_is_room_again_the_result_is_the_same(
    small_disk, undisturbed, solution, monkeypatch, name, module, function
):
    if name == "publish":
        shutil.rmtree(small_disk / "published")
    before, real = seen(), getattr(module, function)

    def full(*arguments):
        fill(small_disk)
        return real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(RecflowError, match="No space left on device") as told:
        patch.setattr(module, function, full)
        run_node(solution, name, [LAST])
    assert "\n" not in str(told.value) and f"home_page_{name}" in str(told.value) and LAST in str(told.value)
    table = solution.table(name)
    changed = differences(before, seen())
    # while files are written the old day stays; once it is being replaced it counts as missing
    allowed = {f"_partitions/{table}/{LAST}.json", str((table, LAST))} if function == "write_record" else set()
    assert all(key in allowed or key.startswith((f"_quality/{LAST}/{table}/", "_staging/")) for key in changed)
    assert published_problems() == []

    (small_disk / "filler").unlink()
    run_node(solution, name, [LAST])
    assert differences(undisturbed[1], seen()) == set()
