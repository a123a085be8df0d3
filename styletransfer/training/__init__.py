"""Training: settings, the step, checkpoints, and what a run watches and publishes."""
