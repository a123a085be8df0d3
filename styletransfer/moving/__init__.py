"""Live pictures: what a camera sees, painted."""
