"""In place of ``vectadb serve``, which would not end: are its flags and its environment settings that it takes?"""

from __future__ import annotations

import os
import sys

from vectadb_server import cli, prices, settings

options = vars(cli._parser().parse_args(["serve", *sys.argv[1:]]))
flags = {name: value for name, value in options.items() if name in settings.Settings.__struct_fields__}
prices.load(settings.load(flags, os.environ, options["config"]).prices)
