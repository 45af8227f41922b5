"""Python's cyclic garbage collector, kept from stopping every cart of a process for long.

It stops everything while it looks through all that lives, which takes about half a second with 10,000 phones, and it
does so whenever that has grown by a quarter. So every second what is alive is collected and then left out of
collection (`gc.freeze`), and only what came since is looked through. What dies later in a cycle, such as a closed
socket with its request, about 10 KB, stays until the one full collection in ten minutes.
"""

import asyncio
import gc
import itertools

EVERY_S = 1.0
FULL_EVERY = 600
"""One in so many collections looks through everything."""
YOUNG = 10_000
"""Objects that may come, less those that went, before Python looks through them by itself."""


async def run_collection() -> None:
    """Collect, until cancelled; the first time everything."""
    gc.set_threshold(YOUNG)
    for number in itertools.count():
        if number % FULL_EVERY == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        await asyncio.sleep(EVERY_S)
