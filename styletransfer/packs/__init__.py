"""The style pack: which files it may hold, how it is written and read, and its model card."""
