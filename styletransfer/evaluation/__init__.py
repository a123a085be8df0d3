"""Measuring: what a painting and a whole pack are worth, in numbers."""
