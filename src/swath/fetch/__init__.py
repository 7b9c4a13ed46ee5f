"""Fetching over http and https: tried again, gone on with where it broke off, and checked.

The one place that opens addresses for files. Proxies are taken from the environment (``https_proxy``,
``no_proxy``); a redirect can lead to another address, never to a local file; a secret goes to the host it
was meant for and to no other.
"""

from swath.fetch.http import AnswerError, check_address
from swath.fetch.lock import alone
from swath.fetch.parts import Wanted, fault, fetch_any, refuse
from swath.fetch.small import Answer, ask

__all__ = [
    "Answer",
    "AnswerError",
    "Wanted",
    "alone",
    "ask",
    "check_address",
    "fault",
    "fetch_any",
    "refuse",
]
