"""Gzip by either library, and what counts as a long batch."""

from __future__ import annotations

import gzip
import importlib.util
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent_sinks import encoding


def without_isal():
    """The module as it is where ``isal`` is not installed."""
    spec = importlib.util.spec_from_file_location("encoding_without_isal", encoding.__file__)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "isal", None)
        patch.setitem(sys.modules, "isal.isal_zlib", None)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("module", [encoding, without_isal()], ids=["as installed", "without isal"])
def test_gzip_comes_out_as_it_went_in(module):
    @given(st.binary(max_size=5000), st.integers(1, 50))
    def check(data, times):
        assert gzip.decompress(module.gzipped(data * times)) == data * times

    check()


def test_without_isal_the_standard_library_packs():
    assert without_isal().gzipped.__globals__["_compress"].__module__ == "zlib"


def test_many_or_large_events_take_long(make_event):
    assert not encoding.takes_long([make_event(text="x" * 1000)] * 100)
    assert encoding.takes_long([make_event()] * 1000)
    assert encoding.takes_long([make_event(text="x" * 1_000_000)])


def test_no_lines_are_no_text():
    assert encoding.encode_events([]).ndjson() == b""
