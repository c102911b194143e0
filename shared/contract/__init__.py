"""What gateway and worker promise each other: kinds of rankings, jobs and their payloads, news and keys.

A worker promises: for each id of a job it writes a :class:`~shared.rankings.ranking.Ranking` to the key that
:mod:`shared.contract.keys` names and then publishes the id; of a user who has rated nothing it only says so.
A job may run more than once; the result is the same.
"""
