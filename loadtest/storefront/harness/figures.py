"""From what was seen to medians, the table, and whether the targets are met."""

from statistics import median

MEASURES = {
    "first_contentful_paint_ms": "first contentful paint, ms",
    "largest_contentful_paint_ms": "largest contentful paint, ms",
    "interactive_ms": "time to interactive, ms",
}
WAYS = {"direct": "directly", "cold": "csu-edge, cold", "warm": "csu-edge, warm"}
REQUESTS = {"page": "the page's files", "image": "images", "api": "Retail Server", "preflight": "preflights"}

INTERACTIVE_MS = 300
TIMES_SOONER = 5
# A cart is read from Retail Server each time, so that no cache can make its page sooner than that.
HELD_TO_TARGETS = ("listing", "product")


def summary(values):
    return {"median": median(values), "min": min(values), "max": max(values)}


def summarize(visits, requests):
    """By page and way: each measure's median, least and most, and the numbers of requests."""
    told = {}
    for (page, way), seen in visits.items():
        told.setdefault(page, {})[way] = {
            **{measure: summary([one[measure] for one in seen]) for measure in MEASURES},
            "requests": requests[page, way],
            "origin_requests": summary([one["origin_requests"] for one in seen]),
        }
    return told


def say(numbers):
    """A median, with the least and the most where they differ."""
    least, middle, most = (round(numbers[name]) for name in ("min", "median", "max"))
    return f"{middle}" if least == most else f"{middle} ({least} to {most})"


def table(told):
    heads = ["page", "asked", *MEASURES.values(), "requests", "at the origin"]
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for page, ways in told.items():
        for way, numbers in ways.items():
            requests = " + ".join(str(numbers["requests"][kind]) for kind in REQUESTS)
            cells = [page, WAYS[way], *(say(numbers[measure]) for measure in MEASURES), requests,
                     say(numbers["origin_requests"])]
            rows.append("| " + " | ".join(cells) + " |")
    rows.append("")
    rows.append(f"Requests: {' + '.join(REQUESTS.values())}.")
    return "\n".join(rows)


def targets(told):
    """What the warm pages are held to: the page, the target, what was found, and whether it is met."""
    found = []
    for page in HELD_TO_TARGETS:
        warm = told[page]["warm"]["interactive_ms"]["median"]
        times = told[page]["direct"]["interactive_ms"]["median"] / warm
        found.append((page, f"interactive within {INTERACTIVE_MS} ms", f"{warm:.0f} ms", warm < INTERACTIVE_MS))
        found.append((page, f"at least {TIMES_SOONER} times sooner than directly", f"{times:.1f} times", times >= TIMES_SOONER))
    return found


def targets_table(found):
    rows = ["| warm page | target | found |", "|---|---|---|"]
    rows += [f"| {page} | {target} | {value}: {'met' if is_met else 'missed'} |" for page, target, value, is_met in found]
    return "\n".join(rows)
