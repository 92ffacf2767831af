"""One visit to one page, with a browser profile of its own: what it was like, and what it asked for."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from devtools import DEADLINE_S

OBSERVE = (Path(__file__).parent / "observe.js").read_text()
WINDOW = {"width": 1280, "height": 800}
# The page's own list of its requests, whose rows are made when it is opened.
LISTED = """new Promise(resolve => {
    const calls = document.getElementById("calls");
    calls.addEventListener("toggle", () => resolve(
        [...calls.querySelectorAll("tbody tr")].map(row => [...row.cells].map(cell => cell.textContent))));
    calls.open = true;
})"""


@dataclass
class Asked:
    """What a page asked for, and what was wrong with it."""

    requests: dict = field(default_factory=lambda: {"page": 0, "image": 0, "api": 0, "preflight": 0})
    # Of each answer of the API: its path after the service root, its status and its Cache-Status.
    answers: list = field(default_factory=list)
    problems: list = field(default_factory=list)

    def reads_without_hit(self):
        """Answers other than a cart's that did not come from csu-edge's memory."""
        return [f"{path}: {cache or 'no Cache-Status'}" for path, _, cache in self.answers
                if not path.startswith("Carts") and not cache.startswith("csu-edge; hit")]


def remembering(base, cart_id, count):
    """A script that makes the page remember a cart."""
    key, value = f"storefront-cart {base}", json.dumps({"id": cart_id, "count": count})
    return f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)});"


def visit(browser, page, base, path, quiet_ms, before="", counts_preflights=False):
    """Opens a page, waits until it is quiet, and returns what was seen and what was asked for.

    Preflights are known to nobody but the browser, which must report each request for them to be counted: not in
    a visit that is to be timed.
    """
    with browser.tab(WINDOW, OBSERVE, before) as tab:
        if counts_preflights:
            tab.call("Network.enable")
        tab.open(f"{page}/{path}")
        seen = tab.evaluate(f"waiting({quiet_ms}, {DEADLINE_S * 1000 - quiet_ms})")
        asked = Asked(answers=[(operation.split()[1], int(status), cache)
                               for operation, status, _, cache in tab.evaluate(LISTED)])
        asked.problems = tab.problems()
        asked.requests["preflight"] = sum(event["request"]["method"] == "OPTIONS"
                                          for event in tab.events("Network.requestWillBeSent"))
    asked.requests["page"] = 1  # The document.
    for resource in seen["asked"]:
        if resource["url"].startswith(base + "/"):
            asked.requests["api"] += 1
        elif "{0.scheme}://{0.netloc}".format(urlsplit(resource["url"])) == page:
            asked.requests["image" if resource["by"] == "img" else "page"] += 1
        else:
            asked.problems.append(f"asked elsewhere: {resource['url']}")
    asked.problems += [f"status {status}: {path}" for path, status, _ in asked.answers if status >= 400]
    if seen["outcome"] != "whole":
        asked.problems.append("the page shows an error")
    return seen, asked
