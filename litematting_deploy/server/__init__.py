"""The service: photos to mattes over HTTP, and the gate that it and the page have in common.

`gate` lets a request in, `form` makes a job of it, `queue` runs it by `jobs.photo` with the engine that all requests
share (`sharing`), and `service` answers; `metrics` counts, `openapi` describes.
"""
