"""One visit to one page, with a browser profile of its own: what it was like, and what it asked for."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

OBSERVE = (Path(__file__).parent / "observe.js").read_text()
VIEWPORT = {"width": 1280, "height": 800}
DEADLINE_MS = 30_000


@dataclass
class Asked:
    """What a profile's pages asked for, and what was wrong with it."""

    page: str
    base: str
    requests: dict = field(default_factory=lambda: {"page": 0, "image": 0, "api": 0, "preflight": 0})
    # Of each answer of the API: its path after the service root, its status and its Cache-Status.
    answers: list = field(default_factory=list)
    problems: list = field(default_factory=list)

    def watch(self, tab):
        network = tab.context.new_cdp_session(tab)
        network.send("Network.enable")
        network.on("Network.requestWillBeSent", self._sent)
        tab.on("response", self._answered)
        tab.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}: {request.failure}"))
        tab.on("console", self._logged)
        tab.on("pageerror", lambda error: self.problems.append(f"thrown: {error}"))
        return network

    def _sent(self, event):
        url, kind, method = event["request"]["url"], event.get("type"), event["request"]["method"]
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        if method == "OPTIONS":
            self.requests["preflight"] += 1
        elif url.startswith(self.base + "/"):
            self.requests["api"] += 1
        elif origin == self.page:
            self.requests["image" if kind == "Image" else "page"] += 1
        elif urlsplit(url).scheme != "data":
            self.problems.append(f"asked elsewhere: {url}")

    def _answered(self, response):
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")
        if response.url.startswith(self.base + "/"):
            path = response.url.removeprefix(self.base + "/").split("?")[0]
            self.answers.append((path, response.status, response.headers.get("cache-status", "")))

    def _logged(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(f"logged: {message.text}")

    def reads_without_hit(self):
        """Answers other than a cart's that did not come from csu-edge's memory."""
        return [f"{path}: {cache or 'no Cache-Status'}" for path, _, cache in self.answers
                if not path.startswith("Carts") and not cache.startswith("csu-edge; hit")]


def remembering(base, cart_id, count):
    """A script that makes the page remember a cart."""
    key, value = f"storefront-cart {base}", json.dumps({"id": cart_id, "count": count})
    return f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)});"


@contextmanager
def profile(browser, **settings):
    """A browser profile that has seen nothing yet."""
    context = browser.new_context(**({"viewport": VIEWPORT, "locale": "en-US"} | settings))
    try:
        context.set_default_timeout(DEADLINE_MS)
        yield context
    finally:
        context.close()


def visit(browser, page, base, path, quiet_ms, before=""):
    """Opens a page, waits until it is quiet, and returns what was seen and what was asked for."""
    asked = Asked(page, base)
    with profile(browser) as context:
        context.add_init_script(OBSERVE + before)
        tab = context.new_page()
        network = asked.watch(tab)
        tab.goto(f"{page}/{path}", wait_until="commit")
        told = network.send("Runtime.evaluate", {
            "expression": f"waiting({quiet_ms}, {DEADLINE_MS})", "awaitPromise": True, "returnByValue": True,
        })
    if "exceptionDetails" in told:
        asked.problems.append(told["exceptionDetails"]["exception"].get("description", "the page broke"))
        return {}, asked
    seen = told["result"]["value"]
    if seen["outcome"] != "whole":
        asked.problems.append("the page shows an error")
    return seen, asked
