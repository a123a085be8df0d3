"""The style pack: what may lie in it, how it is written and read, and its card."""
