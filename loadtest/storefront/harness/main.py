"""Measures how long a storefront's visitor waits, through csu-edge and directly, in a headless browser.

    loadtest/storefront/run                   measures, and ends with 1 where a target is missed
    loadtest/storefront/run --check           opens each page once and clicks through them; measures nothing

Starts the stand-in Retail Server, 250 ms away, csu-edge in front of it and a server for the page, all on
free ports of the loopback interface, and ends them. Each visit has a new browser profile; before a cold
one csu-edge is started anew.
"""

import argparse
import base64
import json
import os
import signal
import sys
import time
from pathlib import Path

from playwright.sync_api import Error as BrowserError

import clicks
import devtools
import figures
import stand
from visit import remembering, visit

RESULTS = stand.ROOT / "loadtest" / "results"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
# A category and products of the stand-in's; the cart has three lines.
PAGES = {"listing": "?category=5637144577", "product": "?product=68719489871", "cart": "?cart"}
IN_CART = [68719489871, 68719489872, 68719489873]
MISSING = 69


def main():
    options = arguments()
    # A signal ends this as an error does: with everything that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return check(options) if options.check else measure(options)
    except stand.Failed as failed:
        print(f"run: {failed}", file=sys.stderr)
    except (AssertionError, BrowserError) as error:
        print(f"run: the storefront does not do what it should: {error}", file=sys.stderr)
    return 1


def arguments():
    parser = argparse.ArgumentParser(prog="loadtest/storefront/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="that the pages work, without measuring")
    parser.add_argument("--rounds", type=int, default=9, help="visits of each kind (default: 9), after one that does not count")
    parser.add_argument("--quiet", type=int, default=5_000, metavar="MS",
                        help="a page is interactive when it is quiet for so long afterwards (default: 5000)")
    parser.add_argument("--latency", default="250ms", help="of the stand-in (default: 250ms)")
    parser.add_argument("--edge", type=Path, metavar="PATH", help="csu-edge (default: built from this tree)")
    parser.add_argument("--sandbox", type=Path, metavar="PATH", help="csu-sandbox (default: built from this tree)")
    parser.add_argument("--browser", type=Path, default=Path("/usr/bin/chromium"), metavar="PATH")
    parser.add_argument("--out", type=Path, metavar="PATH",
                        help="the results, as .md and .json (default: loadtest/results/storefront-DATE-TIME)")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="puts pictures of listing and product page there")
    options = parser.parse_args()
    if options.rounds < 1 or options.quiet < 1:
        parser.error("--rounds and --quiet are at least 1")
    if bool(options.edge) != bool(options.sandbox):
        parser.error("--edge and --sandbox come together")
    if not options.browser.exists():
        parser.exit(MISSING, f"run: {options.browser} is missing (Debian: apt-get install chromium)\n")
    if not options.edge:
        options.edge, options.sandbox = stand.build()
    return options


def check(options):
    with stand.stand(options.edge, options.sandbox, options.latency) as it:
        problems = []
        with devtools.browser(options.browser, FLAGS) as browser:
            for page in PAGES:
                seen = around(browser, it, page, quiet_ms=500, directly_first=True)
                problems += wrong(page, seen)
        with clicks.browser(options.browser, FLAGS) as browser:
            with it.edge() as base:
                it.point_page_at(base)
                for walk in (clicks.from_the_listing_to_the_cart, clicks.a_listing_is_narrowed_sorted_paged_and_searched,
                             clicks.of_a_master_a_variant_is_bought, clicks.a_phone_shows_all_of_it):
                    problems += [f"{walk.__name__}: {problem}" for problem in walk(browser, it.page, base)]
                    print(f"done: {walk.__name__}", flush=True)
            it.point_page_at(it.direct)
            clicks.errors_are_shown(browser, it.page, it.direct, it.control)
            print("done: errors_are_shown", flush=True)
    refuse(problems)
    print("the storefront works, through csu-edge and directly")
    return 0


def measure(options):
    visits = {(page, way): [] for page in PAGES for way in figures.WAYS}
    requests = {}
    load = [os.getloadavg()[0]]
    with stand.stand(options.edge, options.sandbox, options.latency) as it:
        with devtools.browser(options.browser, FLAGS) as browser:
            for number in range(options.rounds + 1):
                for page in PAGES:
                    seen = around(browser, it, page, options.quiet, directly_first=number % 2 == 0,
                                  counts_preflights=number == 0)
                    refuse(wrong(page, seen))
                    for way, (told, asked, at_origin) in seen.items():
                        if number == 0:
                            requests[page, way] = asked.requests
                            continue
                        refuse(others(page, way, requests[page, way], asked.requests))
                        visits[page, way].append(told | {"origin_requests": at_origin, "answers": asked.answers})
                load.append(os.getloadavg()[0])
                print(f"round {number} of {options.rounds} done", file=sys.stderr, flush=True)
            browser_version = browser.version
        if options.screenshots:
            with clicks.browser(options.browser, FLAGS) as browser:
                take_screenshots(browser, it, options.screenshots)
    told = figures.summarize(visits, requests)
    found = figures.targets(told)
    write(options, browser_version, load, told, found, visits)
    return 0 if all(is_met for *_, is_met in found) else 1


def around(browser, it, page, quiet_ms, directly_first, counts_preflights=False):
    """Visits a page directly, through a csu-edge that has nothing in memory, and through the same again."""
    path = PAGES[page]
    cart = it.retail_server("Carts", {"CartLines": [{"ProductId": product, "Quantity": 1} for product in IN_CART]})

    def once(base):
        it.point_page_at(base)
        it.count_anew()
        before = remembering(base, cart["Id"], len(IN_CART)) if page == "cart" else ""
        told, asked = visit(browser, it.page, base, path, quiet_ms, before, counts_preflights)
        return told, asked, it.counted()

    seen = {}
    if directly_first:
        seen["direct"] = once(it.direct)
    with it.edge() as base:
        seen["cold"] = once(base)
        seen["warm"] = once(base)
    if not directly_first:
        seen["direct"] = once(it.direct)
    return seen


def wrong(page, seen):
    """What was not as it should be; so is what of a warm page csu-edge did not answer from memory, a cart aside."""
    return [f"{page}, {way}: {problem}" for way, (_, asked, _) in seen.items() for problem in asked.problems] + [
        f"{page}, warm: not from memory: {answer}" for answer in seen["warm"][1].reads_without_hit()]


def others(page, way, first, requests):
    """What a visit asked for other than the first one, which alone tells of preflights."""
    return [f"{page}, {way}: {requests[kind]} of {kind}, and {count} on the first visit"
            for kind, count in first.items() if kind != "preflight" and requests[kind] != count]


def refuse(problems):
    if problems:
        raise stand.Failed("not all was as it should be:\n  " + "\n  ".join(problems))


def take_screenshots(browser, it, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with it.edge() as base:
        it.point_page_at(base)
        for page, scheme in (("listing", "light"), ("product", "dark")):
            with clicks.profile(browser, color_scheme=scheme) as context:
                tab = context.new_page()
                tab.goto(f"{it.page}/{PAGES[page]}")
                clicks.whole(tab)
                tab.wait_for_load_state("networkidle")
                picture = context.new_cdp_session(tab).send("Page.captureScreenshot", {"format": "webp", "quality": 80})
                (folder / f"{page}.webp").write_bytes(base64.b64decode(picture["data"]))


def write(options, browser_version, load, told, found, visits):
    environment = {
        "date": stand.today(),
        "command": " ".join(["loadtest/storefront/run", *sys.argv[1:]]),
        "machine": stand.machine(),
        "csu-edge": stand.version(options.edge),
        # What else the machine had to do: with more than one a core, everything here waits for its turn.
        "load_average": {"least": min(load), "most": max(load)},
        "browser": f"Chromium {browser_version}",
        "latency": options.latency, "rounds": options.rounds, "quiet_ms": options.quiet,
    }
    text = "\n\n".join([
        f"Medians of {options.rounds} visits (least to most). {environment['machine']}, load average {min(load):.1f} "
        f"to {max(load):.1f}, {environment['browser']}, {environment['csu-edge']}, {environment['date']}: "
        f"`{environment['command']}`",
        figures.table(told), figures.targets_table(found)]) + "\n"
    out = options.out or RESULTS / time.strftime("storefront-%Y-%m-%d-%H%M", time.gmtime())
    out.parent.mkdir(parents=True, exist_ok=True)
    raw = {f"{page}, {way}": seen for (page, way), seen in visits.items()}
    held = [{"page": page, "target": target, "found": value, "met": is_met} for page, target, value, is_met in found]
    out.with_name(f"{out.name}.json").write_text(
        json.dumps({"environment": environment, "summary": told, "targets": held, "visits": raw}, indent=1) + "\n")
    out.with_name(f"{out.name}.md").write_text(text)
    print(text)
    print(f"written: {out}.md and .json")


sys.exit(main())
