"""What tests of guessed registrations share."""

from jobs.data.registration import load_registration
from jobs.lib.solution import load_solution
from jobs.register.guess import propose
from tests.data.imports import read

NOON = 1712894400  # 2024-04-12 04:00 UTC


def guessed(folder, tmp_path):
    """The registration, after each of its kinds was read: 95% of the rows or more are kept. Its solution holds."""
    proposal = propose(str(folder), "shop")
    assert not proposal.missing
    file = tmp_path / "guessed.yaml"
    file.write_text(proposal.text)
    registration = load_registration(file)
    assert load_solution(file).target == registration.target
    for kind in registration.files.by_kind():
        tally, _, _ = read(folder, registration, kind, staging=tmp_path)
        assert tally.read and tally.kept >= 0.95 * tally.read, f"{kind}: {tally}"
    return registration, proposal


def table(header, rows, separator=","):
    lines = [*([header] if header else []), *(separator.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"
