"""Decides which questions are refused, so that the others are answered in time.

A question is refused, always at once and with ``Retry-After``, when

1. the event loop runs late: 503 ``queue-full`` (:class:`~gateway.load.shedding.LoadShedder`);
2. the workers have all they can do and the cache answers hardly any of the latest questions: the same;
3. the cache was asked in vain, and Redis cannot be used: 503 ``queue-unreachable``; no worker has a model:
   503 ``no-workers``; more jobs wait than ``QUEUE_CAP``, or more questions are under way than workers
   answer in half a second: 503 ``queue-full`` (:meth:`gateway.load.admission.Admission.admit`).

An answer in memory is never refused, nor one in the cache that was looked for.
"""
