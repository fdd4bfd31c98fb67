"""Measuring: complexity of the model, latency, memory and accuracy of engines.

`backends` says which engines there are, `suite` runs each in a process of its own (`__main__`, which does the `tasks`),
and `row` is what comes back, for `report`, `plot` and `compare`.
"""
