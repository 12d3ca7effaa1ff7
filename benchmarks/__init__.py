"""How fast VectaDB and its agent are, measured on this machine: ``make bench``."""
