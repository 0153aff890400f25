"""Papers' comparisons in miniature: small models play the same episodes, and one page shows what can be told from them.

A comparison is a YAML file in ``reports/miniatures`` (:mod:`~wam_eval.reproduction.cards`). Its models are played as
ordinary runs (:mod:`~wam_eval.reproduction.playing`), their costs are measured beside each other
(:mod:`~wam_eval.reproduction.costs`), both are stored in one file of results
(:mod:`~wam_eval.reproduction.results`), and the tables and the page are pure functions of cards and results
(:mod:`~wam_eval.reproduction.tables`, :mod:`~wam_eval.reproduction.page`).
"""
