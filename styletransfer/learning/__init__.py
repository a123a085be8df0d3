"""A style of one's own from one painting, in minutes, and one picture optimized until it is painted."""
