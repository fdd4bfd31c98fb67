"""Measuring: complexity of the model, latency, memory and accuracy of engines, and where the time of a photo goes.

`suite.benchmark` measures the engines of a `BenchSpec`, each in a process of its own that runs `tasks`, and returns
`results.Results` for `report`, `plot` and `compare`. `backends` lists what can be measured. `photo.measure` times a
whole job.
"""
