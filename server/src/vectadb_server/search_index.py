"""Which search index the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_server.settings import Settings, secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_server.stores.base import SearchIndex


def search_index(settings: Settings, *, elsewhere: Callable[[], bool] = lambda: False) -> SearchIndex:
    """Return the index, not started: embedded or in a Qdrant, with vectors by wordllama or an endpoint.

    ``elsewhere()``: another server indexes now, which an embedded index must not answer for.

    Raises:
        SettingsError: a file with a key cannot be read.
    """
    from vectadb_server.stores.edge import EdgeSearch
    from vectadb_server.stores.framing import Remote

    embedder = remote = None
    if settings.embedder == "openai":
        from vectadb_server.embedding_http import HttpEmbedder

        assert settings.embedder_url is not None
        assert settings.embedder_model is not None
        key = secret("embedder_api_key", settings.embedder_api_key, settings.embedder_api_key_file)
        embedder = HttpEmbedder(
            settings.embedder_url, settings.embedder_model, key=key, size=settings.embedder_dimensions
        )
    if settings.qdrant_url is not None:
        key = secret("qdrant_api_key", settings.qdrant_api_key, settings.qdrant_api_key_file)
        # As plain values: the search process gets them as MessagePack.
        remote = Remote(settings.qdrant_url, None if key is None else str(key), settings.qdrant_collection)
    return EdgeSearch(
        settings.data_dir, min_free=int(settings.min_free), embedder=embedder, remote=remote, elsewhere=elsewhere
    )
