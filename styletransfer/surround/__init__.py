"""Pictures that are looked at in motion: all around, by two eyes, and live."""
