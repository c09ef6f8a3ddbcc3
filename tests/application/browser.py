"""Chromium without a window, told what to do through its DevTools protocol over two pipes. Standard library only."""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

PROGRAM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


class PageError(AssertionError):
  """What a page's script threw."""


class Browser:
  """One page. What it logs and which addresses it asks is kept.

  Attributes:
    console: messages of the page, errors and violations of its policy among them.
    asked: every address that it requested.
  """

  def __init__(self, *more: str):
    self._profile = tempfile.TemporaryDirectory(prefix="browser")
    to_child, from_us = os.pipe()
    to_us, from_child = os.pipe()

    def wire() -> None:  # the protocol is on descriptors 3 and 4
      a, b = os.dup(to_child), os.dup(from_child)
      os.dup2(a, 3)
      os.dup2(b, 4)

    assert PROGRAM is not None
    self._process = subprocess.Popen(
        ["nice", "-n", "10", PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--use-fake-device-for-media-stream",
         "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
         f"--user-data-dir={self._profile.name}", *more, "about:blank"],
        preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(to_child)
    os.close(from_child)
    self._write, self._read, self._rest, self._number = from_us, to_us, b"", 0
    self.console: list[str] = []
    self.asked: list[str] = []
    self._session = None
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Network", "Log"):
      self.call(f"{domain}.enable")

  def call(self, method: str, **parameters) -> dict:
    """One command's result."""
    self._number += 1
    message = {"id": self._number, "method": method, "params": parameters}
    if self._session:
      message["sessionId"] = self._session
    os.write(self._write, json.dumps(message).encode() + b"\0")
    end = time.monotonic() + 60
    while time.monotonic() < end:
      found = self._next(end - time.monotonic())
      if found and found.get("id") == self._number:
        if "error" in found:
          raise PageError(f"{method}: {found['error']}")
        return found["result"]
    raise TimeoutError(method)

  def _next(self, seconds: float) -> dict | None:
    while b"\0" not in self._rest:
      if not select.select([self._read], [], [], max(seconds, 0))[0]:
        return None
      data = os.read(self._read, 1 << 20)
      if not data:
        raise EOFError("the browser has ended")
      self._rest += data
    text, _, self._rest = self._rest.partition(b"\0")
    message = json.loads(text)
    about = message.get("params", {})
    match message.get("method"):
      case "Network.requestWillBeSent":
        self.asked.append(about["request"]["url"])
      case "Runtime.consoleAPICalled":
        self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in about["args"]))
      case "Runtime.exceptionThrown":
        self.console.append(f"thrown: {about['exceptionDetails']}")
      case "Log.entryAdded":
        entry = about["entry"]
        self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
    return message

  def open(self, address: str, *, width: int = 1100, height: int = 800, dark: bool = False, touch: bool = False) -> None:
    """Goes to a page in a window of a size and waits until it is loaded."""
    self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if touch else 1,
              mobile=touch)
    self.call("Emulation.setEmulatedMedia",
              features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
    self.call("Page.navigate", url=address)
    self.wait("document.readyState === 'complete'")

  def run(self, script: str):
    """The value of an expression on the page; promises are awaited."""
    found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
    if "exceptionDetails" in found:
      raise PageError(f"{script}: {found['exceptionDetails']}")
    return found["result"].get("value")

  def wait(self, condition: str, seconds: float = 20) -> None:
    """Until an expression is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
      with contextlib.suppress(PageError):  # while a page changes
        if self.run(f"!!({condition})"):
          return
      time.sleep(0.05)
    raise TimeoutError(f"{condition} did not come true; the console says {self.console}")

  def key(self, name: str, **more) -> None:
    """Presses a key."""
    for kind in ("keyDown", "keyUp"):
      self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, **more)

  def choose(self, selector: str, *paths) -> None:
    """Puts files into a field."""
    node = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")["result"]["objectId"]
    self.call("DOM.setFileInputFiles", files=[str(path) for path in paths], objectId=node)

  def point(self, selector: str, place: int = 0) -> None:
    """Moves the pointer onto an element."""
    box = self.run(f"(() => {{ const r = document.querySelectorAll({selector!r})[{place}].getBoundingClientRect(); "
                   "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
    self.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])

  def picture(self, path: str | os.PathLike) -> None:
    """Writes a PNG of the whole page."""
    size = self.call("Page.getLayoutMetrics")["cssContentSize"]
    data = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                     clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})["data"]
    pathlib.Path(path).write_bytes(base64.b64decode(data))

  def close(self) -> None:
    """Ends the browser."""
    with contextlib.suppress(Exception):
      self._session = None
      self.call("Browser.close")
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(10)
    if self._process.poll() is None:
      self._process.kill()
    os.close(self._write)
    os.close(self._read)
    self._profile.cleanup()
