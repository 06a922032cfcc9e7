"""Paths out of configuration and out of other people's files: they stay where they belong. Free of Spark."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

from jobs.lib.errors import RecflowError


def check_address(address: str) -> str:
    """A path or address as somebody wrote it on purpose. Raises ValueError where it is not what it seems to be."""
    if not isinstance(address, str) or not address.isprintable():
        raise ValueError(f"{address!r} is no path or address")
    if ".." in PurePosixPath(unquote(address)).parts:
        raise ValueError(f"{address!r} goes up by '..': write where it leads to")
    return address


def check_within(path: str) -> str:
    """A path below some folder. Raises ValueError where it could lead out of it."""
    plain = unquote(path)
    is_elsewhere = plain.startswith("/") or "://" in plain or "\\" in plain or ".." in PurePosixPath(plain).parts
    if not path or not path.isprintable() or not plain.isprintable() or is_elsewhere:
        raise ValueError(f"{path!r} is not a file within the folder")
    return path


def refuse_links_out(folder: str, paths: Iterable[str]) -> None:
    """Raises RecflowError for a local file that a link within the folder leads to, out of it."""
    if "://" in folder.removeprefix("file://"):
        return
    top = os.path.realpath(folder.removeprefix("file://"))
    for path in paths:
        real = os.path.realpath(path.removeprefix("file://"))
        if os.path.commonpath([top, real]) != top:
            raise RecflowError(f"{path} is a link that leads out of {folder}: put the file itself there")
