"""Going out of service before going: a process that is told to end by SIGTERM says so for a while, then ends.

A balancer that does not notice goes on sending what then meets a closed port. The process serves all that comes
meanwhile. A second SIGTERM ends it at once, and so does SIGINT.
"""

import asyncio
import logging
import signal
from types import FrameType

log = logging.getLogger(__name__)


class Drain:
    """Whether this process is on its way out.

    Attributes:
        has_begun: it was told to end.
    """

    def __init__(self) -> None:
        self.has_begun = False

    def on_sigterm(self, wait_s: float) -> None:
        """Put SIGTERM off by so long, then do what was to be done at it: uvicorn's own handler, which is set by now.

        For the main thread, in the event loop.
        """
        loop = asyncio.get_running_loop()
        ending = signal.getsignal(signal.SIGTERM)
        if not wait_s or not callable(ending):
            return

        def told(number: int, frame: FrameType | None) -> None:
            if self.has_begun:
                ending(number, frame)
                return
            self.has_begun = True
            log.info("draining", extra={"seconds": wait_s})
            loop.call_soon_threadsafe(loop.call_later, wait_s, ending, number, None)

        signal.signal(signal.SIGTERM, told)
