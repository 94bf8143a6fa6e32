"""Is the data fit to use: expectations of every table, and how far a pool has drifted from the real corpus.

What belongs here: checks that read finished tables and say what is wrong. What does not: refusing rows on the way in
(corpora), measuring what a pool is like (screening), recording checks in Dagster (defs/checks.py).
"""
