"""A style of one's own from one painting, in minutes, and one picture optimised until it is painted."""
