"""What runs on this machine and what does not, and why.

To add a check, write a function that returns a `Found` in `check_files.py` (files and formats), `check_host.py` (what
runs without a GPU) or `check_gpu.py`, and add a line to `CHECKS` in `registry.py`. It then is a row of `ltm-doctor`.
"""
