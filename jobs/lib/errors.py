"""Errors that a user is meant to read: one clear line that names the file, table, column or key."""


class RecflowError(Exception):
    """Base of every error that recflow reports without a traceback."""


class SettingError(RecflowError):
    """A setting from the environment is not usable."""


class SolutionError(RecflowError):
    """A solution or registration file does not hold; names the file, the path in it and the allowed values."""


class ContractError(RecflowError):
    """Rows or columns do not match the table's contract."""


class QualityError(RecflowError):
    """A `fail` check did not hold; nothing was written."""


class DataError(RecflowError):
    """Data cannot be read or written; names table, ds, and the file, column or value."""


class WriterError(RecflowError):
    """Another writer came first; nothing of this one's was committed. Running it again is safe."""


class MissingPartition(RecflowError):
    """An input partition is not there; names the table and the ds."""


class Skipped(RecflowError):
    """Not due on this ds; says why. No failure: what comes after goes on with what there is."""


class NodeError(RecflowError):
    """No node or job of that name."""
