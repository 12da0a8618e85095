"""A linter for the sentences that people read: documents, pages, help texts, docstrings, comments.

`texts.py` extracts the prose of a file, `rules.toml` lists the expressions to avoid, and
`checks.py` turns them into checks for proselint. `python -m lint.prose [FILE ...]` runs them.
"""
