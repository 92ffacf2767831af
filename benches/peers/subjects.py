"""What is measured, one function a subject."""

import contextlib
import subprocess
import tempfile
import time
from statistics import median

import growth
import servers
from loads import (FIRST_PRODUCT, Http2, Peak, Request, Steady, attributes, gets, measured,
                   prices)
from report import of

FIGURES = ["rate", "cpu_us", "p50_us", "p99_us", "p999_us", "resident_mb"]
COLUMNS = ["requests/s", "CPU/request, µs", "p50, µs", "p99, µs", "p99.9, µs", "memory, MB"]


def in_turn(report, subject, cases, rounds, seconds):
    """Measures each case once a round. A case is a name, a server and a load."""
    found = {name: [] for name, _, _ in cases}
    for _ in range(rounds):
        for name, server, load in cases:
            figures = measured(load, server, seconds)
            figures["resident_mb"] = server.resident_mb()
            found[name].append(figures)
    for name, figures in found.items():
        report.keep(subject, name, figures)
    return found


def ratio(found, name, to, figure="cpu_us"):
    """The median of the rounds' own ratios, so that what slows a round slows both."""
    return median(a[figure] / b[figure] for a, b in zip(found[name], found[to]))


def tabulate(report, title, found, to="floor"):
    rows = [[name, *(of(rounds, figure) for figure in FIGURES), ratio(found, name, to)]
            for name, rounds in found.items()]
    report.table(title, ["", *COLUMNS, f"CPU to {to}"], rows)


def warm(server, requests, times=3):
    for _ in range(times):
        for request in requests:
            status, headers, _ = server.get(request.path, request.headers.items(),
                                            request.body.encode() or None)
            if status != 200:
                raise SystemExit(f"{server.name}: {status} for {request.path}")
    return headers


def hits(built, report, rounds, seconds):
    """The same 1,000 objects behind each, whose origin is gone by then."""
    requests = gets()
    with contextlib.ExitStack() as stack:
        origin = servers.floor(built, core="1", name="origin")
        try:
            peers = [stack.enter_context(server) for server in [
                servers.floor(built), servers.edge(built, origin), servers.nginx(origin),
                servers.varnish(origin), servers.haproxy(origin)]]
            for server in peers[1:]:
                warm(server, requests, 2)
        finally:
            # What is answered from now on comes from the caches.
            origin.stop()
        cases = [(server.name, server, Peak(requests)) for server in peers]
        found = in_turn(report, "hits", cases, rounds, seconds)
        tabulate(report, "1,000 objects of 4.6 kB, GET, 32 connections, one core", found)
        report.hold("csu-edge's CPU for a hit, to the floor's", ratio(found, "csu-edge", "floor"),
                    most=1.35)
        report.hold("the same, to Varnish's", ratio(found, "csu-edge", "varnish"), most=0.5)
        half_load(built, report, rounds, seconds, peers[:2], of(found["csu-edge"], "rate") / 2)


def half_load(built, report, rounds, seconds, servers_, rate):
    """At half of csu-edge's peak: by a generator that waits for answers, with as many connections as
    give about that rate, and by one that does not wait. The latter sees every pause of the machine,
    so the floor's figures stand beside."""
    open_load = Steady(built, gets(), rate)
    closed = Peak(gets(), 2)
    cases = [(f"{server.name}, {name}", server, load) for server in servers_
             for name, load in [("two connections", closed), ("open load", open_load)]]
    found = in_turn(report, "half load", cases, rounds, seconds)
    rows = [[name, *(of(figures, figure) for figure in ["rate", *FIGURES[2:5]])]
            for name, figures in found.items()]
    report.table("At about half of csu-edge's peak", ["", "requests/s", *COLUMNS[2:5]], rows)
    report.hold("p99 on two connections, µs", of(found["csu-edge, two connections"], "p99_us"),
                most=1000)
    report.hold("p99 by open load, µs", of(found["csu-edge, open load"], "p99_us"), most=1000)


def own(built, report, rounds, seconds):
    """What other caches cannot answer from what they hold, before the stand-in Retail Server."""
    products = [FIRST_PRODUCT + number for number in range(1000)]
    singles = [prices([product]) for product in products]
    pages = [prices([products[(page * 24 + row) % 1000] for row in range(24)])
             for page in range(100)]
    with (servers.floor(built) as floor, servers.sandbox(built) as origin,
          servers.edge(built, origin) as edge):
        warm(edge, singles + pages + gets())
        etag = warm(edge, [attributes(FIRST_PRODUCT)])["etag"]
        zipped, since = {"Accept-Encoding": "gzip"}, {"If-None-Match": etag}
        warm(edge, gets(more=zipped.items()))
        traced = [prices([product], {"traceparent": f"00-{product:032x}-{n:016x}-01"}.items())
                  for n in range(1, 41) for product in products]
        new = [prices([product], {"x-new": f"{n}"}.items())
               for n in range(1, 101) for product in products]
        cases = [
            ("floor", floor, Peak(gets())),
            ("GET", edge, Peak(gets())),
            ("POST of one price", edge, Peak(singles)),
            ("the same, each with a `traceparent` of its own", edge, Peak(traced)),
            ("the same, each with a field that nobody knows, and so read", edge, Peak(new)),
            ("POST of 24 prices", edge, Peak(pages)),
            ("GET, 304", edge, Peak([attributes(FIRST_PRODUCT, since.items())])),
            ("GET, gzip", edge, Peak(gets(more=zipped.items()))),
            ("GET, HTTP/2", edge, Http2(gets())),
        ]
        found = in_turn(report, "own", cases, rounds, seconds)
        tabulate(report, "csu-edge before the stand-in, one core", found)
        report.hold("a POST price hit's CPU, to the floor's",
                    ratio(found, "POST of one price", "floor"), most=1.8)


def tls(built, report, rounds, seconds):
    """The same hit in the clear and over TLS 1.3."""
    with (servers.floor(built, core="1", name="origin") as origin,
          servers.edge(built, origin) as plain, tempfile.TemporaryDirectory() as folder):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out",
             "cert.pem"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        settings = (f'[tls.storefront]\ncertificate = "{folder}/cert.pem"\n'
                    f'private_key = "{folder}/key.pem"\n')
        with servers.edge(built, origin, settings=settings) as over_tls:
            warm(plain, gets())
            Peak(gets(), scheme="https").run(over_tls, 2)
            cases = [("plain", plain, Peak(gets())),
                     ("TLS", over_tls, Peak(gets(), scheme="https"))]
            found = in_turn(report, "tls", cases, rounds, seconds)
            tabulate(report, "GET of 4.6 kB, kept alive", found, "plain")


def miss(built, report, rounds, seconds):
    """What a miss adds to the origin's own time: one client, one request after the other. The origin
    is on csu-edge's core, so that a request crosses from core to core as often with it as without."""
    with servers.floor(built, core="0", name="origin") as origin, servers.edge(built, origin) as edge:
        found = {"origin": [], "miss": []}
        first = FIRST_PRODUCT
        for _ in range(rounds):
            # More than are sent in a round, so that none comes twice.
            requests = gets(20000 * seconds, first)
            first += len(requests)
            found["origin"].append(measured(Peak(requests, 1), origin, seconds))
            found["miss"].append(measured(Peak(requests, 1), edge, seconds))
        for name, figures in found.items():
            report.keep("miss", name, figures)
        tabulate(report, "A miss, one connection", found, "origin")
        added = median(a["p50_us"] - b["p50_us"] for a, b in zip(found["miss"], found["origin"]))
        report.hold("µs that a miss adds (medians)", added, most=150)


def passing(built, report, rounds, seconds):
    """What is not kept goes through: 1 kB and 10 MB, beside nginx."""
    with servers.files({"1k": 1_000, "10M": 10_000_000}) as origin:
        with servers.edge(built, origin) as edge, servers.nginx(origin) as nginx:
            for name, connections in [("1k", 32), ("10M", 4)]:
                requests = [Request("GET", f"/Commerce/media/{name}", {"Accept": "*/*"})]
                cases = [(server.name, server, Peak(requests, connections))
                         for server in [nginx, edge]]
                found = in_turn(report, f"pass {name}", cases, rounds, seconds)
                tabulate(report, f"Passed, {name}, {connections} connections", found, "nginx")
                if name == "10M":
                    report.hold("csu-edge's throughput of 10 MB, to nginx's",
                                ratio(found, "csu-edge", "nginx", "rate"), least=0.8)


def start(built, report, rounds, seconds):
    """From the start of the program to the end of its first answer, which the origin gives at once."""
    found = []
    with servers.floor(built, core="1", name="origin") as origin:
        for _ in range(10):
            began = time.monotonic()
            with servers.edge(built, origin) as edge:
                request = attributes(FIRST_PRODUCT)
                edge.get(request.path, request.headers.items())
                found.append({"ms": (time.monotonic() - began) * 1000})
    report.keep("start", "csu-edge", found)
    report.table("Start to the first answer, ten times", ["median, ms", "longest, ms"],
                 [[of(found, "ms"), max(one["ms"] for one in found)]])
    report.hold("start to first answer, ms", of(found, "ms"), most=100)


ALL = {"hits": hits, "own": own, "tls": tls, "miss": miss, "pass": passing, "start": start,
       **growth.ALL}
