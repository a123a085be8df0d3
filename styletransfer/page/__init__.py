"""The page in the browser, and its endpoints for programs."""
