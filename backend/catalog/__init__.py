"""Products: from what a scanner read to what is sold, and searching and changing them.

    scanned text ── barcodes.parse ──> GTIN-14 keys ──> memory ── miss ──> Redis ── miss ──> MongoDB
                                                       60 s              1 h

Invariants:

- A code names one product at most; a unique index over all codes of all products says so.
- A product's `revision` grows by one with each change; a change is made only to the revision that was read.
- A change shows in every process within 1 s: by the bus, or, while that is cut, because memory is
  trusted for 1 s only.
- What was read before a change is neither shelved in Redis nor kept in memory after it.
- Unknown codes are held like products, for 30 s.
- A process reads a code from MongoDB once, however many phones ask for it at the same moment.
- Redis may be away: look-ups and changes go on without it.
"""

from backend.catalog.barcodes import parse as parse_barcode
from backend.catalog.documents import DOCUMENTS
from backend.catalog.routes import ROUTES, PreviewAdd
from backend.catalog.rules import Product
from backend.catalog.schemas import WhatIf, WhatIfBudget
from backend.catalog.service import Catalog

__all__ = [
    "DOCUMENTS",
    "ROUTES",
    "Catalog",
    "PreviewAdd",
    "Product",
    "WhatIf",
    "WhatIfBudget",
    "parse_barcode",
]
