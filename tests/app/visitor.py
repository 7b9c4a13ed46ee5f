"""A browser in which a visitor uses the page: by the words on it, with the pointer, and with files to give."""

from __future__ import annotations

import json
import time
from importlib import resources
from pathlib import Path
from typing import Any

from tests.browser import Browser

_BACKGROUND = "+getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor.match(/\\d+/)[0]"
_AT_ONCE = "<style>* { transition: none !important; animation: none !important; }</style>"  # nothing half faded
PATIENCE = 180.0  # seconds; only a page that is broken takes that long
# The scene to click, in the shadow of the element that holds it.
CANVAS = "[...document.querySelectorAll('*')].map(e => e.shadowRoot).find(e => e?.querySelector('.canvas .view'))"


class Visitor(Browser):
    """One window; keeps the addresses it asks for and what the console says."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        super().__init__()
        self._call("Network.enable")
        self._call("DOM.enable")

    def until(self, script: str, what: str) -> Any:
        """Wait until an expression is true, and give its value."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.run(script)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{what} did not come: {self.run('document.body.innerText')[:2000]}; {self.console}")

    def sees(self, text: str) -> None:
        """Wait until a text is on the page, and the page is at rest."""
        self.until(f"document.body.innerText.includes({json.dumps(text)})", text)
        self.until("!document.querySelector('[data-testid=stStatusWidget]')", "rest")

    def gives(self, *files: Path, number: int = 0) -> None:
        """Choose files in an uploader."""
        self.until("document.querySelector('input[type=file]') !== null", "an uploader")
        script = f"document.querySelectorAll('input[type=file]')[{number}]"
        found = self._call("Runtime.evaluate", expression=script)["result"]["objectId"]
        self._call("DOM.setFileInputFiles", files=[str(file) for file in files], objectId=found)

    def clicks(self, text: str) -> None:
        """Click what bears a text, where it stands in the window."""
        find = (
            "[...document.querySelectorAll('button, a, label, [role=option], [role=tab]')].filter(e => "
            "e.getClientRects().length && !e.disabled && "
            f"e.innerText.trim().split('\\n').pop() === {json.dumps(text)})[0]"
        )
        self.until(f"{find} !== undefined", f"something to click that says {text}")
        self._presses_at(find)

    def chooses(self, name: str) -> None:
        """Choose the class of the next clicks, with the pointer."""
        find = f"[...({CANVAS}?.querySelectorAll('.classes label') ?? [])]"
        find = f"{find}.find(e => e.innerText.trim() === {json.dumps(name)})"
        self.until(f"{find} !== undefined", name)
        self._presses_at(find)

    def _presses_at(self, find: str) -> None:
        """Click the middle of an element once it stands still in the window."""
        middle = (
            f"(() => {{ const e = {find}; e?.scrollIntoView({{block: 'center'}}); const b = e?.getBoundingClientRect();"
            "return b ? [b.left + b.width / 2, b.top + b.height / 2] : null })()"
        )
        before, end = None, time.monotonic() + PATIENCE
        while True:
            here = self.run(middle)
            if here is not None and here == before:
                break
            assert time.monotonic() < end, f"{find} does not come to rest"
            before = here
            time.sleep(0.1)
        x, y = here
        self._press(x, y)

    def _press(self, x: float, y: float) -> None:
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def is_told(self, text: str) -> None:
        """Wait until the line below the scene says what a click does."""
        self.until(f"{CANVAS}?.querySelector('.keys').innerText.includes({json.dumps(text)})", text)

    def points_at(self, column: float, row: float) -> None:
        """Click a pixel of the scene, where it stands in the window."""
        self.until(f"{CANVAS}?.querySelector('.canvas').dataset.ready === 'yes'", "the scene")
        x, y = self.run(
            f"(() => {{ const view = {CANVAS}.querySelector('.view'); view.scrollIntoView({{block: 'center'}});"
            "const box = view.getBoundingClientRect(), at = view.place({column: " + f"{column}, row: {row}" + "});"
            "return [box.left + at[0], box.top + at[1]] })()"
        )
        self._press(x, y)

    def writes(self, label: str, text: str) -> None:
        """Type into the field of a label, and press Enter."""
        self.until(f"document.querySelector('input[aria-label={json.dumps(label)}]') !== null", label)
        self.run(f"document.querySelector('input[aria-label={json.dumps(label)}]').focus()")
        self._call("Input.insertText", text=text)
        self.presses("Enter")

    def presses(self, key: str) -> None:
        """Press a key."""
        code = {"Enter": 13, "ArrowRight": 39, "ArrowDown": 40, " ": 32}.get(key, ord(key[0]))
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def touches(self, x: float, y: float) -> None:
        """Touch a point of the window."""
        self._call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def drags(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the pointer at one point and let it go at another."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def takes(self, text: str, folder: Path) -> Path:
        """Click a button that downloads, and wait for its file in a folder of its own."""
        folder.mkdir()
        self._call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        end, again = time.monotonic() + PATIENCE, 0.0
        while time.monotonic() < end:
            if not any(folder.iterdir()) and time.monotonic() > again:  # a redraw may have taken the button away
                self.clicks(text)
                again = time.monotonic() + 10
            found = [file for file in folder.iterdir() if file.suffix != ".crdownload"]
            if found and found[0].stat().st_size:
                return found[0]
            self.run("new Promise(done => setTimeout(done, 100))")
        raise AssertionError(f"{text} gave no file; {self.console}")

    def looks(self, *, width: int, dark: bool) -> None:
        """Go on at another width, in a light or dark scheme."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.until(f"{_BACKGROUND} {'<' if dark else '>'} 128", "the colors of the scheme")

    def barriers(self) -> list[str]:
        """What axe-core finds on the page that is serious or critical for people with a disability."""
        if not self.run("typeof axe === 'object'"):
            axe = resources.files("axe_playwright_python").joinpath("axe.min.js")  # the one file of it that is used
            self.run(f"{axe.read_text(encoding='utf-8')}; 0")
            self.run(f"document.head.insertAdjacentHTML('beforeend', {json.dumps(_AT_ONCE)}); 0")
        self.sees("")
        self.until("!document.querySelector('[data-stale=true]')", "what is shown at last")
        found = self.run(
            "axe.run(document, {iframes: false, resultTypes: ['violations']}).then(found => found.violations"
            ".filter(one => ['serious', 'critical'].includes(one.impact))"
            ".map(one => one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200) + ' ' + "
            "node.any.map(check => check.message).join('; ')).join(' | ')))"
        )
        return list(found)

    def whole(self) -> None:
        """Make the window as high as the page, so that a picture shows all of it."""
        high = self.run(
            "Math.max(...[...document.querySelectorAll('*')].map(e => e.scrollHeight).filter(h => h < 20000))"
        )
        wide = self.run("innerWidth")
        self._call(
            "Emulation.setDeviceMetricsOverride", width=wide, height=high + 80, deviceScaleFactor=1, mobile=wide < 600
        )
        time.sleep(0.8)

    def _next(self) -> dict[str, Any]:
        message = super()._next()
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") == "Runtime.consoleAPICalled" and message["params"]["type"] == "error":
            self.console.append(str(message["params"]["args"]))
        return message
