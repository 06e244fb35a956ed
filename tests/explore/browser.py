# SPDX-License-Identifier: MIT
"""A headless Chromium that a test drives through the DevTools protocol, over a pipe: no network, no driver, no library."""
import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions", "--disable-background-networking",
         "--disable-dev-shm-usage", "--enable-precise-memory-info", "--js-flags=--expose-gc", "--remote-debugging-pipe"]
KEYS = {"ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Escape": 27, "Tab": 9, "Home": 36, "End": 35, "PageDown": 34, "PageUp": 33, "Backspace": 8}


def program():
    return shutil.which("chromium") or shutil.which("chromium-browser")


def high_pipe():
    """A pipe out of the way of descriptors 3 and 4."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high


# After which a browser is called hung: on a machine with much other work all takes many times as long.
SECONDS = 1800


class Browser:
    """One page. Messages of the console, exceptions and requests are kept in .complaints and .requests."""

    def __init__(self, width=1280, height=800, flags=()):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read, child_writes = high_pipe()
        child_reads, write = high_pipe()
        command = [program(), *FLAGS, *flags, f"--user-data-dir={self.profile.name}", f"--window-size={width},{height}", "about:blank"]
        # Chromium reads descriptor 3 and writes descriptor 4.
        # Python's tests may run under a sanitizer's preloaded libraries and options; the browser does not.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ASAN_", "LSAN_", "LD_PRELOAD", "VK_", "OCL_"))}
        self.process = subprocess.Popen(["bash", "-c", f'exec "$@" 3<&{child_reads} 4>&{child_writes}', "bash", *command],
                                        pass_fds=(child_reads, child_writes), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment | {"HOME": self.profile.name})
        os.close(child_reads)
        os.close(child_writes)
        os.set_blocking(self.process.stderr.fileno(), False)
        self.read, self.write, self.buffer, self.number, self.session = read, write, b"", 0, None
        self.complaints, self.requests, self.events = [], [], []
        target = [entry for entry in self.call("Target.getTargets")["targetInfos"] if entry["type"] == "page"][0]["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(domain + ".enable")
        self.call("Performance.enable", timeDomain="threadTicks")  # processor time: another program's load is not the page's
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(SECONDS)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self.read)
        os.close(self.write)
        self.profile.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def message(self, seconds):
        """The next message, or None when the time is over."""
        end = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0, end - time.monotonic()))
            if not ready:
                return None
            part = os.read(self.read, 1 << 20)
            if not part:
                noise = self.process.stderr.read() or b""
                raise RuntimeError("Chromium ended: " + noise.decode(errors="replace")[-2000:])
            self.buffer += part
        one, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(one)
        self.note(message)
        return message

    def note(self, message):
        method, given = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.complaints.append(details["text"] + " " + details.get("exception", {}).get("description", ""))
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.complaints.append(given["type"] + ": " + " ".join(str(part.get("value", part.get("description"))) for part in given["args"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.complaints.append(given["entry"]["level"] + ": " + given["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"][:200])
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append("a dialog opened: " + given["message"])
        if method == "Page.loadEventFired":
            self.events.append(method)

    def call(self, method, seconds=SECONDS, **given):
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": given}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data):]
        end = time.monotonic() + seconds
        while True:
            answer = self.message(max(0, end - time.monotonic()))
            if answer is None:
                raise RuntimeError(f"{method}: no answer in {seconds} s")
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer.get("result", {})

    def js(self, expression, seconds=SECONDS):
        """The value of an expression, promises awaited."""
        answer = self.call("Runtime.evaluate", seconds, expression=expression, returnByValue=True, awaitPromise=True, userGesture=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(expression + "\n" + details["text"] + " " + details.get("exception", {}).get("description", ""))
        return answer["result"].get("value")

    def until(self, expression, seconds=SECONDS):
        """Waits until the expression is true; its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.js(expression)
            if value:
                return value
            time.sleep(0.03)
        raise AssertionError(f"not true in {seconds} s: {expression}; now {self.js('document.body.dataset.shown')!r} at {self.js('location.href')!r}; {self.complaints}")

    def settle(self):
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def open(self, path, fragment="", seconds=SECONDS):
        # The way over an empty page loads the file anew where only the fragment differs.
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", seconds, url=pathlib.Path(path).resolve().as_uri() + fragment)
        self.until("document.body && document.body.dataset.shown !== undefined && (document.body.dataset.ready || document.body.dataset.shown === 'error')", seconds)

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if mobile else 1, mobile=mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
        self.settle()

    def dark(self, on):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}, {"name": "prefers-reduced-motion", "value": "reduce"}])
        self.settle()

    def press(self, key, modifiers=0):
        code = {"key": key, "modifiers": modifiers}
        if key in KEYS:
            code |= {"windowsVirtualKeyCode": KEYS[key], "code": key}
        if key == "Enter":
            code |= {"text": "\r"}
        elif len(key) == 1:
            code |= {"text": key}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code)
        code.pop("text", None)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)
        self.settle()

    def type(self, text):
        for character in text:
            self.press(character)

    def place(self, selector):
        """The middle of an element, scrolled into sight."""
        box = self.js(f"""(() => {{ const element = document.querySelector({json.dumps(selector)}); if (!element) return null;
            element.scrollIntoView({{block: 'nearest'}}); const box = element.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; }})()""")
        assert box and box[2] and box[3], f"{selector} cannot be seen: {box}"
        return box[0] + box[2] / 2, box[1] + box[3] / 2

    def hover(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.settle()

    def click(self, selector, at=None):
        x, y = at or self.place(selector)
        self.hover(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def tap(self, selector):
        x, y = self.place(selector)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def download(self, selector, folder):
        """Clicks, and waits for the one file that comes of it."""
        folder.mkdir(exist_ok=True)
        before = set(folder.iterdir())
        self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.click(selector)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            new = [path for path in folder.iterdir() if path not in before and path.suffix != ".crdownload"]
            if new:
                return new[0]
            time.sleep(0.05)
        raise AssertionError(f"{selector}: nothing was downloaded")

    def choose_file(self, selector, path):
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def back(self, by=-1):
        entries = self.call("Page.getNavigationHistory")
        self.call("Page.navigateToHistoryEntry", entryId=entries["entries"][entries["currentIndex"] + by]["id"])
        self.settle()

    def shot(self, path):
        self.settle()
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def metrics(self):
        return {entry["name"]: entry["value"] for entry in self.call("Performance.getMetrics")["metrics"]}
