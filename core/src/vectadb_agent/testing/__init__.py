"""For plugin authors: contract suites, fakes, a faulty network.

``contracts`` needs pytest: ``pip install 'vectadb-agent[testing]'``.
"""
