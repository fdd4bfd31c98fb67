"""Training: procedural or Composition-1k foregrounds, composed on the device, by PyTorch Lightning."""
