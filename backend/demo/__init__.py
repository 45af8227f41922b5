"""The demo store: what a new server shows before it has goods and staff of its own.

`products.csv` is an extract of Open Food Facts with invented prices; see `ATTRIBUTION.md`.
"""

from backend.demo.seed import seed

__all__ = ["seed"]
