"""``make accuracy``: what parsers and server make of frameworks' real output, beside what really happened."""
