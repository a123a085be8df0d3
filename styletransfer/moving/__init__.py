"""What moves, or is looked at while one moves: videos, animated pictures."""
