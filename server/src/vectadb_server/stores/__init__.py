"""Where events are kept and found: Protocols in ``base``, one module for each engine."""
