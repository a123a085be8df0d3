"""Packs for other programs: ONNX files, and a page that paints in the browser without a server."""
