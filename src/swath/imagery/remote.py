"""A GeoTIFF on another machine, by its address: what is needed of it is read in ranges, and nothing else is asked for.

Addresses come from the user's own hand, on the command line or in Python; the service and the page take none. Before
GDAL opens one, a first range says whether the server serves ranges at all and whether this is a TIFF.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from swath.errors import DataError, MissingFileError, SwathError
from swath.fetch import check_address
from swath.machine import check_online

HEAD_BYTES = 2**14
TIMEOUT = 30.0  # seconds for one range
RETRIES = 2
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_RANGE = re.compile(r"bytes 0-(\d+)/(\d+)")
DOWNLOAD = "download the file first and give its path"
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,  # to http and https only: what else it might follow has no handler here
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
)


def is_address(name: Any) -> bool:
    """Whether a scene is given by an address; a path never is, whatever it is called."""
    return isinstance(name, str) and _ADDRESS.match(name) is not None


def gdal_settings() -> Mapping[str, Any]:
    """GDAL's options for reading ranges, for as long as the dataset is open."""
    return {
        "GDAL_HTTP_TIMEOUT": f"{TIMEOUT:g}",
        "GDAL_HTTP_CONNECTTIMEOUT": f"{TIMEOUT:g}",
        "GDAL_HTTP_MAX_RETRY": str(RETRIES),
        "GDAL_HTTP_RETRY_DELAY": "0.5",
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # a file may have changed since another scene was read
    }


def gdal_name(address: str) -> str:
    """What GDAL calls the file behind an address."""
    return f"/vsicurl/{address}"


def plain_name(address: str) -> str:
    """What messages call the file: the end of its address, without what may be a key to it."""
    return urllib.parse.urlsplit(address).path.rpartition("/")[2] or address


def read_head(address: str) -> bytes:
    """The first bytes of a file, in a range.

    Raises
    ------
    MissingFileError
        If there is none.
    DataError
        If the address is none, the network is switched off, or the server does not answer or serves no ranges.
    """
    check_address(address, fix="give an address such as https://HOST/scene.tif, or the path of a file")
    shown = address.partition("?")[0]  # what follows may be a key to it
    check_online(f"{shown} is on another machine", fix=DOWNLOAD)
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    headers = {"User-Agent": "swath", "Accept-Encoding": "identity", "Range": f"bytes=0-{HEAD_BYTES - 1}"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  (http and https only, as checked)
    deadline = time.monotonic() + TIMEOUT
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
            if response.status != 206 or found is None or int(found[1]) + 1 != min(HEAD_BYTES, int(found[2])):
                raise DataError(f"{shown} is on a server that does not serve ranges of a file", fix=DOWNLOAD)
            data = b""
            while len(data) <= int(found[1]) and (part := response.read1(HEAD_BYTES)):
                data += part
                if time.monotonic() > deadline:
                    raise TimeoutError
            if len(data) != int(found[1]) + 1:
                raise DataError(f"{shown} was cut short by its server", fix=f"try again, or {DOWNLOAD}")
            return data
    except SwathError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise MissingFileError(f"there is no {shown} ({error.code})", fix="check the address") from error
        raise DataError(f"{shown} answers {error.code} ({error.reason})", fix=DOWNLOAD) from error
    except TimeoutError as error:
        raise DataError(
            f"{shown} did not answer within {TIMEOUT:g} seconds", fix=f"try again, or {DOWNLOAD}"
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None)
        if isinstance(reason, TimeoutError):
            why = f"no answer within {TIMEOUT:g} seconds"
        else:
            why = getattr(reason, "strerror", None) or str(reason or error)
        raise DataError(f"{shown} cannot be reached ({why})", fix=f"check it, or {DOWNLOAD}") from error
