"""A headless Chromium for visits that count, spoken to by its own protocol.

Playwright, which clicks through the pages, has the browser report every request while it loads a page. That
makes a warm visit of 145 ms one of 187 on two cores, so it has no part in these.
https://chromedevtools.github.io/devtools-protocol/
"""

import itertools
import json
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import stand

STARTED_WITHIN_S = 20
DEADLINE_S = 30
# A browser is at rest when it has used less than so much of one core for so long.
AT_REST_SHARE = 0.05
AT_REST_S = 0.5


class Browser:
    def __init__(self, socket):
        self._socket = socket
        self._numbers = itertools.count()
        # What tabs told unasked: their session, the event's name and what it says.
        self._events = []
        self.version = self.call("Browser.getVersion")["product"].partition("/")[2]

    def call(self, method, session=None, **params):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}
                                     | ({"sessionId": session} if session else {})))
        message = self._hear(lambda heard: heard.get("id") == number)
        if "error" in message:
            raise stand.Failed(f"the browser refuses {method}: {message['error']['message']}")
        return message["result"]

    def _hear(self, is_awaited):
        """The message that is waited for; what comes before it is kept, if it is an event."""
        deadline = time.monotonic() + DEADLINE_S
        try:
            while True:
                message = json.loads(self._socket.recv(max(0, deadline - time.monotonic())))
                if "method" in message:
                    self._events.append((message.get("sessionId"), message["method"], message["params"]))
                if is_awaited(message):
                    return message
        except (TimeoutError, ConnectionClosed) as error:
            raise stand.Failed("the browser says nothing more") from error

    def wait_for(self, session, name):
        if not self.events(session, name):
            self._hear(lambda heard: heard.get("sessionId") == session and heard.get("method") == name)

    @contextmanager
    def tab(self, size, *scripts):
        """A tab of a profile that has seen nothing yet, at rest; the scripts run before any of a page's own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            target = self.call("Target.createTarget", url="about:blank", browserContextId=context, **size)["targetId"]
            tab = Tab(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
            for domain in ("Page", "Runtime", "Log"):
                tab.call(f"{domain}.enable")
            for script in scripts:
                tab.call("Page.addScriptToEvaluateOnNewDocument", source=script)
            self._wait_until_at_rest()
            yield tab
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)
            self._events.clear()

    def _wait_until_at_rest(self):
        """A window that was just opened goes on loading parts of its own after it is there."""
        def used_s():
            return sum(process["cpuTime"] for process in self.call("SystemInfo.getProcessInfo")["processInfo"])

        ends = time.monotonic() + DEADLINE_S
        before = used_s()
        while time.monotonic() < ends:
            time.sleep(AT_REST_S)
            now = used_s()
            if now - before < AT_REST_SHARE * AT_REST_S:
                return
            before = now
        raise stand.Failed("the browser does not come to rest")

    def events(self, session, name):
        return [params for of, method, params in self._events if of == session and method == name]


class Tab:
    def __init__(self, browser, session):
        self._browser, self._session = browser, session

    def call(self, method, **params):
        return self._browser.call(method, self._session, **params)

    def events(self, name):
        return self._browser.events(self._session, name)

    def open(self, url):
        """Begins to load a page."""
        self.call("Page.navigate", url=url)
        self._browser.wait_for(self._session, "Page.frameNavigated")

    def evaluate(self, expression):
        """What a script resolves to."""
        told = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise stand.Failed(f"the page broke: {told['exceptionDetails']['exception'].get('description')}")
        return told["result"].get("value")

    def problems(self):
        """What was logged as a warning or an error, by the page or by the browser about it, and what was thrown."""
        logged = [f"logged: {entry['entry']['text']} {entry['entry'].get('url', '')}".rstrip()
                  for entry in self.events("Log.entryAdded") if entry["entry"]["level"] in ("error", "warning")]
        said = [f"logged: {' '.join(str(value.get('value')) for value in entry['args'])}"
                for entry in self.events("Runtime.consoleAPICalled") if entry["type"] in ("error", "warning")]
        thrown = [f"thrown: {entry['exceptionDetails']['text']}" for entry in self.events("Runtime.exceptionThrown")]
        return logged + said + thrown


@contextmanager
def browser(executable, flags):
    with tempfile.TemporaryDirectory(prefix="storefront-profile-", ignore_cleanup_errors=True) as name:
        process = subprocess.Popen(
            [executable, "--headless", "--remote-debugging-port=0", f"--user-data-dir={name}", *flags, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            with connect(address(process, Path(name) / "DevToolsActivePort"), max_size=None) as socket:
                yield Browser(socket)
        finally:
            process.terminate()
            try:
                process.wait(stand.ENDED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def address(process, told):
    """Where the browser can be spoken to, which it writes into its profile: the port, and a path."""
    ends = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < ends and process.poll() is None:
        if told.exists() and told.read_text().count("\n"):
            port, path = told.read_text().split()
            return f"ws://127.0.0.1:{port}{path}"
        time.sleep(0.05)
    raise stand.Failed("the browser did not start")
