"""The socket in the data directory, over which the server's owner needs no key: ``vectadb.sock``, mode 0600.

So a lost admin key is no disaster, and commands on the server's machine need none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger(__name__)

NAME = "vectadb.sock"
_SUN_PATH = 107  # bytes that the path of a socket may have


@contextlib.contextmanager
def reachable(data_dir: Path) -> Iterator[str]:
    """A path by which the socket can be reached, however long the directory's own is.

    Raises:
        OSError: the directory is not there, or its path is too long and there is no way around that here.
    """
    path = str(data_dir / NAME)
    if len(os.fsencode(path)) <= _SUN_PATH:
        yield path
        return
    directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{NAME}"
    finally:
        os.close(directory)


def answers(data_dir: Path) -> bool:
    """Whether a server listens on the socket of ``data_dir``, and lets this user in."""
    try:
        with reachable(data_dir) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(path)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def listening(data_dir: Path) -> Iterator[list[socket.socket]]:
    """Bind the socket, for the owner only, and take it away at the end; an empty list where that cannot be.

    A socket that somebody listens on is left alone: several servers on a remote record may share a directory.
    """
    try:
        sock = _bound(data_dir)
    except OSError as error:
        text = "commands on this machine will need an API key: no socket in the data directory (%s)"
        _log.warning(text, error.strerror or error, extra={"path": str(data_dir / NAME)})
        yield []
        return
    try:
        yield [sock]
    finally:
        sock.close()
        with contextlib.suppress(OSError):
            (data_dir / NAME).unlink()


def _bound(data_dir: Path) -> socket.socket:
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / NAME
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError("something else of that name is there; remove it")
        if answers(data_dir):
            raise FileExistsError("another server listens on it")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(data_dir) as name:
            sock.bind(name)
        # It does not listen yet: nobody has connected before the mode is set.
        path.chmod(0o600)
    except BaseException:
        sock.close()
        raise
    return sock
