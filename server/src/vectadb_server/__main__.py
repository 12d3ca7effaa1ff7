"""``python -m vectadb_server``: the command line."""

import sys

from vectadb_server.cli import main

sys.exit(main())
