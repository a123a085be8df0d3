"""From a folder or a dataset of the Hub to photos and paintings for training."""
