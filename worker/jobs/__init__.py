"""The jobs of the queues: questions that somebody waits for, questions computed ahead, trainings.

A queue may name only the jobs of :data:`shared.contract.jobs.ALLOWED_JOBS`. No name is imported: a worker
runs what :mod:`worker.jobs.handlers` lists.
"""
