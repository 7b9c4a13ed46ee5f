"""Mutants of every kind of input, run through the functions that commands call; :mod:`tests.test_fuzz` counts them.

A mutant is a number: ``python -m tests.fuzz pictures --number 17`` makes that mutant of the pictures again and runs it.
``mutants.py`` changes bytes and plain values; ``pictures.py``, ``indexes.py``, ``models.py``, ``zips.py``,
``recipes.py`` and ``tables.py`` make sound files, change them inside their own format, and say what reads them;
``worker.py`` runs mutants in a process of its own and ``harness.py`` watches that process.
"""
