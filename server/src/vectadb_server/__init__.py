"""VectaDB: takes agent events, groups them into traces, keeps and finds them."""

__version__ = "0.1.0"
