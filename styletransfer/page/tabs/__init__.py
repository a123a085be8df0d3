"""Tabs of the page for what is no still photo; each brings its components, its events and its work."""
