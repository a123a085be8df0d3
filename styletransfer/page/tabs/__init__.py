"""The page's parts for what is looked at in motion: 360-degree pictures and the live camera."""
