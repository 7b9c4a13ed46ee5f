"""Structured logs: one JSON object per line on standard error, about requests and never about images or keys."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

LOGGER = "swath.service"


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, event, and its facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def log_as_json() -> None:
    """Send what the service and its HTTP server report to standard error, as JSON."""
    handler = logging.StreamHandler(sys.__stderr__)  # not the command line's own, which folds lines
    handler.setFormatter(JsonFormatter())
    for name, level in ((LOGGER, logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
