"""What moves: videos, animated pictures, and what a camera sees."""
