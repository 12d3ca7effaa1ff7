"""For plugin authors: contract suites and fakes."""
