"""Makes HTTP load and measures it, with little work for each request.

A general HTTP client costs more than the answers to be measured, and on a small machine it takes the time
from the server. This one supports only what is needed: GET, HTTP/1.1, connections that stay open, bodies of
declared length.

It runs as a process of its own (``python -m benchmarks.load``), which reads a
:class:`~benchmarks.load.contract.Load` as JSON from standard input and writes an
:class:`~benchmarks.load.contract.Outcome` to standard output; :mod:`benchmarks.load.generator` starts it.
"""
