"""RQ's workers, with cheap bookkeeping and an end that loses nothing.

RQ's own in-process worker makes 20 round trips and 57 commands a job, most of them to say several times that
it lives. :class:`worker.rq.serve.ServeWorker` makes four round trips: take the job's id, read the job, note
its start, note its end. What RQ shows of jobs, registries and workers is the same.

What these classes override or use of RQ is listed in ``tests/worker/test_rq_members.py``.
"""
