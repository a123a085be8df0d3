"""The networks, and what they are asked for: generator, discriminator, pretrained features, losses."""
