"""JSON log lines on standard error, each with its request's id.

What is logged are names, codes, ids and durations. Bodies, headers, queries, tokens and contact details
never are: nothing here could print them.
"""

import logging
import logging.config
import time
from contextvars import ContextVar
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request being served, empty outside one."""


class _AddRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if current := request_id.get():
            record.request_id = current
        return True


def json_handler() -> "logging.StreamHandler[TextIO]":
    """Writes each record to standard error as one line of JSON with `time`, `level`, `logger` and `message`."""
    formatter = JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(_AddRequestId())
    return handler


def configure(level: str) -> None:
    """Route every logger of the process through one JSON handler.

    `level` is for our own loggers: what the libraries say below a warning holds addresses, headers, commands
    and frames, and so people's tokens and contact details.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stderr": {"()": json_handler}},
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {
                **{name: {"level": level} for name in ("backend", "qless")},
                # uvicorn has set up its own before the application is made.
                **{
                    name: {"level": "WARNING", "handlers": [], "propagate": True}
                    for name in ("uvicorn", "uvicorn.error", "uvicorn.access")
                },
            },
        }
    )
