"""Fetching over http and https: tried again, gone on with where it broke off, and checked.

The one place that opens addresses for files. Proxies are taken from the environment (``https_proxy``,
``no_proxy``); a redirect can lead to another address, never to a local file; a secret goes to the host it
was meant for and to no other.
"""

from swath.fetch.http import ResponseError, check_address
from swath.fetch.lock import exclusive
from swath.fetch.parts import ExpectedFile, fetch_any, mismatch, refuse
from swath.fetch.small import HttpResponse, request

__all__ = [
    "ExpectedFile",
    "HttpResponse",
    "ResponseError",
    "check_address",
    "exclusive",
    "fetch_any",
    "mismatch",
    "refuse",
    "request",
]
