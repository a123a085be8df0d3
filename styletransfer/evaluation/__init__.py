"""Measuring paintings and whole packs: brushwork, content, style and faults, in numbers."""
