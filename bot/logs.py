"""How a process of the bot's writes its log: a line for an event, to stderr, without anybody's words."""

import logging
import sys

import structlog


def log_plainly(level: int = logging.INFO) -> None:
    """Ours from `level` on, without tracebacks' values; the libraries' own only from warnings on."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # the stderr of that moment
    )
