"""Renaming a full file out of the way: ``events`` becomes ``events.1``, the newest of a numbered row. Blocking."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


def rotate(path: Path, keep: int) -> None:
    """Rename ``path`` to ``path.1`` and move the older ones up; delete the one that would become ``keep + 1``.

    A crash half-way leaves a gap in the numbers and loses nothing: the next rotation moves files up to the gap only.

    Raises:
        OSError: a file could not be renamed or deleted; ``path`` is still there.
    """
    free = next((number for number in range(1, keep) if not _forms(path, number)), keep)
    for old in _forms(path, keep) if free == keep else ():
        old.unlink()
    for number in range(free - 1, 0, -1):
        for old in _forms(path, number):
            packed = ".gz" if old.suffix == ".gz" else ""
            old.rename(path.with_name(f"{path.name}.{number + 1}{packed}"))
    path.rename(path.with_name(f"{path.name}.1"))
    sync_folder(path)


def compress_first(path: Path) -> None:
    """Compress ``path.1`` to ``path.1.gz``. Where that fails it stays as it is, with a warning: nothing is lost."""
    plain, packed = path.with_name(f"{path.name}.1"), path.with_name(f"{path.name}.1.gz")
    half = path.with_name(f"{path.name}.gz.tmp")
    try:
        with plain.open("rb") as source, half.open("wb") as target:
            half.chmod(plain.stat().st_mode & 0o777)
            with gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6) as packer:
                shutil.copyfileobj(source, packer, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        half.rename(packed)
        sync_folder(path)
        plain.unlink()
    except OSError as error:
        _log.warning("%s: could not be compressed and stays as it is: %s", plain, error.strerror)
        with contextlib.suppress(OSError):
            half.unlink()


def sync_folder(path: Path) -> None:
    """Put the names in the folder of ``path`` on disk: a synced file whose name is lost is lost."""
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _forms(path: Path, number: int) -> list[Path]:
    """Files that bear this number, compressed or not; both if a crash came between compressing and deleting."""
    names = (f"{path.name}.{number}", f"{path.name}.{number}.gz")
    return [found for name in names if (found := path.with_name(name)).exists()]
