"""A browser in which a person looks at ``map.html``: with the pointer, the keyboard and the page's own policy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.browser import Browser

_KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "+": 187, "0": 48}


class Viewer(Browser):
    """Opens a page as its reader does, and keeps the addresses it asks for."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        super().__init__()
        self._call("Network.enable")

    def show(self, page: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Open a page and wait until it has drawn the map."""
        self.open(page, width=width, dark=dark)
        self._call("Page.setBypassCSP", enabled=False)
        self.requests.clear()
        self.console.clear()
        self._call("Page.reload")
        self._wait("Page.loadEventFired")
        for _ in range(600):
            if self.run("document.documentElement?.dataset.ready === 'yes'"):
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"the page did not draw its map: {self.console}")
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def color(self, across: float, down: float = 0.5) -> tuple[int, ...]:
        """Red, green and blue of the drawn map at a part of its width and height."""
        found = self.run(
            "(() => { const c = document.getElementById('canvas');"
            f"return [...c.getContext('2d').getImageData({across} * c.width, {down} * c.height, 1, 1).data] }})()"
        )
        return tuple(found[:3])

    def text(self, name: str) -> str:
        """What an element says."""
        return str(self.run(f"document.getElementById('{name}').textContent"))

    def press(self, name: str, *keys: str) -> None:
        """Focus an element and press keys."""
        self.run(f"document.getElementById('{name}').focus()")
        for key in keys:
            what: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": _KEYS[key]}
            if len(key) == 1:
                what["text"] = key
            self._call("Input.dispatchKeyEvent", type="keyDown", **what)
            self._call("Input.dispatchKeyEvent", type="keyUp", **what)
        self.settle()

    def place(self, name: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element in the window."""
        script = f"(() => {{ const b = document.getElementById('{name}').getBoundingClientRect();"
        return tuple(self.run(script + "return [b.left, b.top, b.width, b.height] })()"))

    def drag(self, name: str, across: float) -> None:
        """Drag an element with the pointer, by a number of pixels."""
        left, top, width, height = self.place(name)
        x, y = left + width / 2, top + height / 2
        for kind, at, held in (("mousePressed", x, 1), ("mouseMoved", x + across, 1), ("mouseReleased", x + across, 0)):
            self._call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=held, clickCount=1)
        self.settle()

    def point(self, across: float, down: float) -> None:
        """Move the pointer to a part of the map's width and height."""
        left, top, width, height = self.place("view")
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=left + across * width, y=top + down * height)
        self.settle()

    def wheel(self, across: float, down: float, by: float) -> None:
        """Turn the wheel over a part of the map."""
        left, top, width, height = self.place("view")
        where = {"x": left + across * width, "y": top + down * height}
        self._call("Input.dispatchMouseEvent", type="mouseWheel", deltaX=0, deltaY=by, **where)
        for _ in range(100):  # the event arrives when the page is drawn next
            self.settle()
        self.settle()

    def _next(self) -> dict[str, Any]:
        message = super()._next()
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") == "Runtime.consoleAPICalled":
            self.console.append(str(message["params"]["args"]))
        return message
