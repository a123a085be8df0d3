"""Pictures: files in and out, colors, the last layer over a painting, advice about a photo."""
