"""In place of ``pip install NAMES``: are these distributions of this tree, with the extras that are named?"""

from __future__ import annotations

import re
import sys
from importlib import metadata

for requirement in sys.argv[2:]:
    found = re.fullmatch(r"([\w-]+)(?:\[(\w+)\])?", requirement)
    assert found, requirement
    extras = metadata.metadata(found[1]).get_all("Provides-Extra") or []
    assert found[2] is None or found[2] in extras, f"{requirement}: {found[1]} has {extras}"
