"""``backup``, ``restore`` and ``migrate``."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectadb_server.cli_client import (
    CANNOT_WORK,
    SECOND_SIGNAL,
    WRONG_USE,
    CommandError,
    a_server,
    add_data_dir,
    add_server,
    as_json,
    pieces,
)
from vectadb_server.cli_progress import progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from vectadb_server.archive import Manifest
    from vectadb_server.cli_client import Commands
    from vectadb_server.settings import Settings
    from vectadb_server.stores.remote import Address
    from vectadb_server.stores.segments import Segments

_SILENCE = 600.0
"""Seconds without a word from a server that makes a backup: it may open a large day."""
_PASSWORD = "its password: VECTADB_SURREAL_PASSWORD or VECTADB_SURREAL_PASSWORD_FILE"  # noqa: S105 - where it stands


class WrongUse(Exception):
    """What was given on the command line or in the environment is wrong; a line for each mistake."""


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    backup = commands.add_parser(
        "backup",
        help="write everything but the search index into one file",
        description="Write the record, as it is at one moment, into one file, and read that again. The server goes on "
        "meanwhile; where none runs, one is started on the data directory. The file holds the API keys' hashes, and "
        "what the events hold: only its owner may read it.",
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="to be made; a directory: a new file in it")
    backup.add_argument("--verify", action="store_true", help="make nothing: read the file, say what it holds")
    add_server(backup)
    add_data_dir(backup)
    backup.set_defaults(run=_backup)

    restore = commands.add_parser(
        "restore",
        help="make a record of a backup",
        description="Make a record of a backup, where there is none yet: all of it, or nothing. The search index is "
        "made anew from it when a server is started there.",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="a backup")
    restore.add_argument("--data-dir", type=Path, help="directory to make it in")
    _add_target(restore, required=False)
    restore.set_defaults(run=_restore)

    migrate = commands.add_parser(
        "migrate",
        help="move the record to a SurrealDB server",
        description="Copy the record of a data directory, whose server is stopped, to a SurrealDB server, and compare "
        "both. Broken off at any time, the same command goes on. The directory stays as it was; the search index is "
        "made anew by the first server that is started on the copy.",
    )
    migrate.add_argument("--data-dir", type=Path, help="what to move (default: VECTADB_DATA_DIR, else ./data)")
    _add_target(migrate, required=True)
    migrate.add_argument("--qdrant", metavar="URL", help="the Qdrant that is to hold the search index")
    migrate.set_defaults(run=_migrate)


def _add_target(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--to", metavar="URL", required=required, help="SurrealDB server, like ws://db:8000")
    parser.add_argument("--user", help=f"user on it (default: root); {_PASSWORD}")
    parser.add_argument("--namespace", help="namespace on it (default: vectadb)")
    parser.add_argument("--database", help="beginning of its databases' names (default: record)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


# ---- backup ----------------------------------------------------------------------------------------------------------


def _backup(options: argparse.Namespace) -> int:
    from vectadb_server import archive

    path: Path = options.file
    try:
        if not options.verify:
            if path.is_dir():
                path /= f"vectadb-backup-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar"
            with a_server(options):
                _written(options, path)
        with progress("reading it", "rows") as told:
            head, manifest = archive.verify(path, told)
    except archive.BadArchive as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or path}: {error.strerror}") from None
    held = _held(manifest)
    if not as_json(options, {"file": str(path), "made": head.made, "bytes": path.stat().st_size, **held}):
        print(f"{path}: whole; {_said(held)}, as of {head.made}")
    return 0


def _written(options: argparse.Namespace, path: Path) -> None:
    """Have the server's archive at ``path``, whole or not at all."""
    if path.exists():
        raise CommandError(f"{path}: it exists already. Next: give another name")
    import tempfile

    # A name of its own, that only this user may read: another backup may be under way, or somebody's file be there.
    number, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            with (
                pieces(options, "/api/v1/admin/backup", silence=_SILENCE) as come,
                progress("backing up", "bytes") as told,
            ):
                for piece in come:
                    told(file.write(piece))
            file.flush()
            os.fsync(file.fileno())
        _put(part, path)
    finally:
        part.unlink(missing_ok=True)


def _put(part: Path, path: Path) -> None:
    """Give a file its name, unless something else has it by now."""
    try:
        os.link(part, path)
    except OSError:
        if path.exists():
            raise CommandError(f"{path}: it exists by now. Next: give another name") from None
        part.rename(path)  # The file system has no links.


def _held(manifest: Manifest) -> dict[str, Any]:
    days = sorted(name for name in manifest if name != "meta")
    return {
        "days": days,
        "records": sum(manifest[day]["event"].rows for day in days),
        "rows": sum(mark.rows for tables in manifest.values() for mark in tables.values()),
    }


def _said(held: dict[str, Any]) -> str:
    return f"{held['records']:,} records of {len(held['days'])} days ({held['rows']:,} rows)"


# ---- restore and migrate: they have the engine in this process -------------------------------------------------------


def _restore(options: argparse.Namespace) -> int:
    return _with_engine(options, _restored)


async def _restored(options: argparse.Namespace) -> int:
    from vectadb_server import archive, restoring

    if (options.to is None) == (options.data_dir is None):
        raise WrongUse("it wants either --data-dir, a directory to make the record in, or --to, a SurrealDB server")
    path: Path = options.file
    with progress("verifying it", "rows") as told:
        head, manifest = archive.verify(path, told)
    held = _held(manifest)
    target: AbstractAsyncContextManager[Segments]
    if options.to is None:
        where, target = str(options.data_dir), restoring.new_directory(options.data_dir)
    else:
        address = _settings(options)[1]
        where, target = str(address), restoring.new_databases(address)
    async with target as segments:
        with progress("restoring", "rows", 2 * held["rows"]) as told:
            await restoring.fill(segments, path, manifest, told)
    if not as_json(options, {"restored_to": where, "made": head.made, **held}):
        print(f"{where}: {_said(held)}, as of {head.made}; verified. Search is made anew at the server's first start.")
    return 0


def _migrate(options: argparse.Namespace) -> int:
    return _with_engine(options, _migrated)


async def _migrated(options: argparse.Namespace) -> int:
    from vectadb_server import migrating
    from vectadb_server.stores.base import StoreUnavailable
    from vectadb_server.stores.directories import Directories

    settings, address = _settings(options)
    record = settings.data_dir / "record"
    if not record.is_dir():
        raise CommandError(f"{settings.data_dir}: there is no data of VectaDB. Next: check --data-dir")
    if settings.qdrant_url is not None:
        _check_qdrant(settings)
    source = Directories(record)
    await source.start()
    try:
        with progress("migrating", "rows", 2 * await migrating.counted(source)) as told:
            moved = await migrating.migrate(source, address, lambda name, stage, rows: told(rows, f"{stage} {name}"))
    except StoreUnavailable as error:
        raise CommandError(f"{error}. Next: the same command goes on") from None
    finally:
        await source.stop()
    start = _to_start(settings)
    if as_json(options, {"days": moved.days, "rows": moved.rows, "copied": moved.copied, "start_with": start}):
        return 0
    copied = f"{len(moved.copied)} databases copied" if moved.copied else "nothing was left to copy"
    print(f"{address}: {moved.rows:,} rows of {len(moved.days)} days are there, verified; {copied}.")
    print("Start servers with these settings; the first one makes the search index:\n")
    for name, value in start.items():
        print(f"  {name}={value}")
    return 0


def _with_engine(options: argparse.Namespace, work: Callable[[argparse.Namespace], Coroutine[Any, Any, int]]) -> int:
    """Run a command that has an engine in this process; it ends the process."""
    from vectadb_server.archive import BadArchive
    from vectadb_server.leaving import leave
    from vectadb_server.migrating import NotEqual
    from vectadb_server.stores.base import StoreUnavailable
    from vectadb_server.stores.engine import Conflict
    from vectadb_server.stores.targets import CannotTake

    try:
        leave(asyncio.run(work(options)))
    except (CommandError, BadArchive, CannotTake, NotEqual, StoreUnavailable) as error:
        text = str(error)
    except Conflict as error:
        text = f"somebody else writes there ({error}). Next: see that no server runs on it, and run it again"
    except OSError as error:
        text = f"{error.filename or options.command}: {error.strerror or error}"
    except WrongUse as error:
        print(f"vectadb {options.command}: wrong use, nothing was done\n{error}", file=sys.stderr)
        leave(WRONG_USE)
    except KeyboardInterrupt:
        leave(SECOND_SIGNAL)
    print(f"vectadb {options.command}: {text}", file=sys.stderr)
    leave(CANNOT_WORK)


def _settings(options: argparse.Namespace) -> tuple[Settings, Address]:
    """Return what is said by flags and environment, and where the target is.

    Raises:
        WrongUse: it is wrong.
    """
    from vectadb_server import settings
    from vectadb_server.stores.remote import Address

    flags = {"surreal_url": options.to, "data_dir": options.data_dir, "qdrant_url": getattr(options, "qdrant", None)}
    flags |= {f"surreal_{name}": getattr(options, name) for name in ("user", "namespace", "database")}
    try:
        chosen = settings.load(flags, os.environ)
        password = settings.secret("surreal_password", chosen.surreal_password, chosen.surreal_password_file)
    except settings.SettingsError as error:
        raise WrongUse(str(error).replace("--surreal-url", "--to").replace("--surreal-", "--")) from None
    return chosen, Address(
        url=options.to,
        user=chosen.surreal_user,
        password=str(password or ""),
        namespace=chosen.surreal_namespace,
        prefix=chosen.surreal_database,
    )


def _check_qdrant(settings: Settings) -> None:
    """See that the Qdrant answers, and that a server here could use it.

    Raises:
        CommandError: not.
    """
    import importlib.util

    import httpx

    from vectadb_server.settings import secret

    if importlib.util.find_spec("qdrant_client") is None:
        raise CommandError("--qdrant wants qdrant-client. Next: pip install 'vectadb-server[qdrant]'")
    key = secret("qdrant_api_key", settings.qdrant_api_key, settings.qdrant_api_key_file)
    try:
        reply = httpx.get(
            f"{settings.qdrant_url}/collections/{settings.qdrant_collection}/exists",
            headers={"api-key": key} if key else {},
            timeout=10,
        )
        reply.raise_for_status()
    except httpx.HTTPError as error:
        raise CommandError(f"{settings.qdrant_url}: no Qdrant answers there ({error}). Next: check --qdrant") from None


def _to_start(settings: Settings) -> dict[str, str]:
    """Return the environment of a server that uses the copy; its password apart."""
    names = ("surreal_url", "surreal_user", "surreal_namespace", "surreal_database", "qdrant_url")
    given = {f"VECTADB_{name.upper()}": getattr(settings, name) for name in names}
    return {name: str(value) for name, value in given.items() if value is not None}
