"""One job, one file: a flat dataclass `Settings` and a straight `main(settings)`.

`distilbert <recipe>` makes its flags from the dataclass (see `distilbert.cli`).
"""
