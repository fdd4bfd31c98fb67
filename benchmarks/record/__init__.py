"""Record what the commands of two commits make on one machine, and compare it; see `__main__`."""
