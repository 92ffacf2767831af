"""What visitors get, and how much of it the cache gives."""

from panels import NODES, READS, by, lines, number, quantile, rate, ratios, target

ROWS = [
    (
        "At a glance",
        [
            number(
                "Nodes ready",
                "short",
                "Nodes that answer Prometheus and are ready for requests. Fewer than you run: see "
                "which instance is missing from the panels below, and CsuEdgeDown and "
                "CsuEdgeNotReady in docs/operations.md.",
                f"sum(csu_edge_ready{{{NODES}}})",
                (None, "red"),
                (1, "green"),
            ),
            number(
                "Requests",
                "reqps",
                "Storefront requests a second, of every kind. A sudden fall with the nodes ready "
                "is a matter of the balancer or the storefront in front of them.",
                f"sum({rate('csu_edge_requests_total')})",
            ),
            number(
                "Reads answered by the cache",
                "percentunit",
                "The share of catalogue reads that came from the store, stale ones that are being "
                "fetched anew included. If it fell, the row Hit ratio shows of which class.",
                f"sum(instance_class_operation:csu_edge_hits:rate5m{{{NODES}}}) / "
                f"(sum(instance_class_operation:csu_edge_reads:rate5m{{{NODES}}}) > 0)",
                (None, "red"),
                (0.5, "yellow"),
                (0.8, "green"),
            ),
            number(
                "Hits, 99th percentile",
                "s",
                "The time within which 99 of 100 hits had their answer's head. Past 5 ms the "
                "machine is short of CPU: look at its load, and at listen.workers.",
                "histogram_quantile(0.99, sum by (le) ("
                + rate("csu_edge_request_duration_seconds_bucket", ',result="hit"')
                + "))",
                (None, "green"),
                (0.005, "yellow"),
                (0.025, "red"),
            ),
            number(
                "Errors",
                "percentunit",
                "The share of all requests that got an error of csu-edge's own. Past 1 %, see "
                "CsuEdgeErrors in docs/operations.md.",
                f"max(instance:csu_edge_errors:ratio_rate5m{{{NODES}}})",
                (None, "green"),
                (0.001, "yellow"),
                (0.01, "red"),
            ),
            number(
                "Requests to the origin",
                "reqps",
                "What the Retail Server is sent, by all nodes together. Compare it with Requests: "
                "the difference is what the cache takes off it.",
                f"sum(instance:csu_edge_origin_requests:rate5m{{{NODES}}})",
            ),
            number(
                "Nodes fenced",
                "short",
                "Nodes that cannot vouch for what they know of purges and fetch every price and "
                "stock level. Above 0 for a minute: CsuEdgeFenced in docs/operations.md.",
                f"sum(csu_edge_purge_fenced{{{NODES}}})",
                (None, "green"),
                (1, "red"),
            ),
            number(
                "Breakers open",
                "short",
                "Nodes that do not ask the origin at present because it failed, and links to "
                "Redis that are down. Above 0 for a minute: CsuEdgeBreakerOpen, CsuEdgeRedisLost.",
                f"sum(csu_edge_origin_gate_breaker_state{{{NODES}}} > bool 0) + "
                f"(sum(csu_edge_redis_breaker_state{{{NODES}}} > bool 0) or vector(0))",
                (None, "green"),
                (1, "red"),
            ),
        ],
    ),
    (
        "Traffic and latency by result",
        [
            lines(
                "Requests by result",
                "reqps",
                "How requests were answered; docs/operations.md, Metrics, has what each result "
                "means. Much pass: see Cache-Status of such requests for why they are not cached. "
                "Much stale-if-error or error: the origin fails.",
                target(
                    by("result", f"rate(csu_edge_requests_total{{{READS}}}[$__rate_interval])"),
                    "{{result}}",
                ),
                stacked=True,
            ),
            lines(
                "Busiest operations",
                "reqps",
                "The ten operations that are asked for most. other is what the catalogue does not "
                "know, whole batches included: if it leads, add what is a read by [[operation]].",
                target(
                    "topk(10, "
                    + by("operation", f"rate(csu_edge_requests_total{{{READS}}}[$__rate_interval])")
                    + ")",
                    "{{operation}}",
                ),
            ),
            lines(
                "Requests by node",
                "reqps",
                "Whether the balancer spreads requests evenly. One node with far less has just "
                "started, or its health check fails.",
                target(by("instance", rate("csu_edge_requests_total")), "{{instance}}"),
            ),
            lines(
                "Median time by result",
                "s",
                "From a request's head to its answer's head, half of them faster. Hits take well "
                "below a millisecond; misses, collapsed and pass take what the origin takes.",
                target(quantile(0.5, "csu_edge_request_duration_seconds", "result"), "{{result}}"),
            ),
            lines(
                "99th percentile by result",
                "s",
                "The same for the slowest of a hundred. Misses above the origin's own time wait "
                "at the gate: compare with Requests past the gate.",
                target(quantile(0.99, "csu_edge_request_duration_seconds", "result"), "{{result}}"),
            ),
            ratios(
                "Hits within 1 ms and 5 ms",
                "The share of hits that were answered so fast. If it falls below 99 % for 5 ms, "
                "the machine has too little CPU for what it is asked, or swaps.",
                *(
                    target(
                        "sum("
                        + rate(
                            "csu_edge_request_duration_seconds_bucket",
                            f',result="hit",le="{bound}"',
                        )
                        + ") / (sum("
                        + rate("csu_edge_request_duration_seconds_count", ',result="hit"')
                        + ") > 0)",
                        f"{text}",
                    )
                    for bound, text in (("0.001", "1 ms"), ("0.005", "5 ms"))
                ),
            ),
            ratios(
                "Errors by node",
                "The share of requests that got an error of csu-edge's own. On one node alone: "
                "its way to the origin. On all: the origin.",
                target(f"instance:csu_edge_errors:ratio_rate5m{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "Requests that wait for another's fetch",
                "short",
                "Visitors who asked for what was being fetched already. High peaks are normal "
                "after a purge of something hot; a plateau is an origin that hangs. Bound: "
                "limits.waiters.",
                target(f"csu_edge_collapse_waiters{{{NODES}}}", "{{instance}}"),
            ),
        ],
    ),
    (
        "Hit ratio by class and operation",
        [
            ratios(
                "Hit ratio by class",
                "Of the reads of each class, the share that the cache answered. Prices and stock "
                "levels live shortly, so theirs is lower. All falling at once: a purge of much, a "
                "fence, or a restart. One: its operations are beside.",
                target(
                    by("class", f"instance_class_operation:csu_edge_hits:rate5m{{{READS}}}")
                    + " / ("
                    + by("class", f"instance_class_operation:csu_edge_reads:rate5m{{{READS}}}")
                    + " > 0)",
                    "{{class}}",
                ),
            ),
            ratios(
                "Hit ratio by operation",
                "The same for each operation that is asked for. For one that is low, csu-edge "
                "explain tells why a request is not a hit: credentials, a lifetime, or a key that "
                "differs from visitor to visitor.",
                target(
                    by("operation", f"instance_class_operation:csu_edge_hits:rate5m{{{READS}}}")
                    + " / ("
                    + by("operation", f"instance_class_operation:csu_edge_reads:rate5m{{{READS}}}")
                    + " > 0)",
                    "{{operation}}",
                ),
            ),
            ratios(
                "Hit ratio of things in lists",
                "Of the things that lists were put together from, the share that the cache had, "
                "also where the answer as a whole was partial. This, not the ratio of whole "
                "answers, is what the origin is spared.",
                target(
                    by("operation", f"instance_operation:csu_edge_pieces_hits:rate5m{{{READS}}}")
                    + " / ("
                    + by("operation", f"instance_operation:csu_edge_pieces:rate5m{{{READS}}}")
                    + " > 0)",
                    "{{operation}}",
                ),
            ),
            lines(
                "Things in lists by how they came about",
                "cps",
                "Hits, misses and the rest, thing by thing. Many misses at a steady rate: more "
                "products are asked for than are kept, or their lifetime is short.",
                target(
                    by("result", f"rate(csu_edge_pieces_total{{{READS}}}[$__rate_interval])"),
                    "{{result}}",
                ),
                stacked=True,
            ),
            lines(
                "Answers that were not stored",
                "cps",
                "Answers to reads that might have been kept, by reason; docs/storefront.md, "
                "Details, has each. status is the origin's errors; too-large is "
                "limits.stored_body_bytes.",
                target(by("reason", rate("csu_edge_unstored_total")), "{{reason}}"),
            ),
            lines(
                "Lists that stay whole",
                "cps",
                "Answers that could not be taken apart or put together, so that the list is asked "
                "for whole. docs/operations.md, Lists, says what to do about each reason.",
                target(
                    by("operation, reason", rate("csu_edge_undivided_total")),
                    "{{operation}} {{reason}}",
                ),
            ),
        ],
    ),
]
