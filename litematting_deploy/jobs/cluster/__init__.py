"""Many frames on many machines, with Ray."""
