"""Measuring: complexity of the model, latency and accuracy of engines."""
