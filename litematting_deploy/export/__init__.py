"""Checkpoint to ONNX, verified: `exporter` (extra `export`) does what `spec` says."""
