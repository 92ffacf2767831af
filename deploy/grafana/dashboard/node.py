"""What a node holds: memory, connections, certificates, and requests that came before."""

from panels import GOOD_BAD, NODES, by, lines, rate, ratios, states, target

ROWS = [
    (
        "Memory and evictions",
        [
            lines(
                "Stored responses, and their limit",
                "bytes",
                "What stored responses are counted as, which is what the process grows by, and "
                "what they may come to. At the limit is normal on a busy node; what matters is "
                "the turnover.",
                target(f"csu_edge_stored_bytes{{{NODES}}}", "{{instance}} {{tier}}"),
                target(f"csu_edge_stored_bytes_limit{{{NODES}}}", "{{instance}} {{tier}} limit"),
            ),
            ratios(
                "Memory in use",
                "The same as a share. Far below 1 for days: memory.max_bytes may be lowered.",
                target(f"instance:csu_edge_memory_used:ratio{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "Stored responses",
                "short",
                "How many answers are stored. A sudden fall is a restart; purges leave answers "
                "where they are until they are asked for or expire.",
                target(f"csu_edge_stored_entries{{{NODES}}}", "{{instance}} {{tier}}"),
            ),
            lines(
                "Evictions by cause",
                "cps",
                "time: it expired. capacity: it had to make room. variants: a URL has more than "
                "limits.variants, so see what its Vary names.",
                target(by("tier, cause", rate("csu_edge_evictions_total")), "{{tier}} {{cause}}"),
                stacked=True,
            ),
            lines(
                "How long an answer stays",
                "s",
                "The time in which as much is pushed out as is stored. No curve where nothing is. "
                "Below ten minutes answers go before they expire: raise memory.max_bytes, or "
                "share a tier in Redis (CsuEdgeMemoryTurnsOver).",
                target(f"instance:csu_edge_memory_turnover:seconds{{{NODES}}}", "{{instance}}"),
            ),
        ],
    ),
    (
        "Process, connections and certificates",
        [
            lines(
                "Open connections",
                "short",
                "Connections by listener. Past limits.connections new ones wait in the kernel's "
                "queue: CsuEdgeConnectionsFull.",
                target(f"csu_edge_connections{{{NODES}}}", "{{instance}} {{listener}}"),
            ),
            ratios(
                "Connections, of their limit",
                "The same as a share of limits.connections. Past 90 %: CsuEdgeConnectionsFull.",
                target(
                    f"csu_edge_connections{{{NODES}}} / csu_edge_connections_limit{{{NODES}}}",
                    "{{instance}} {{listener}}",
                ),
            ),
            lines(
                "Connections closed by a limit",
                "cps",
                "keep-alive is everyday life. connections-per-client: is your balancer in "
                "forwarded.trusted? header-timeout, stalled or h2-flood in numbers: somebody "
                "tries to wear the node out (docs/security.md).",
                target(
                    by("listener, limit", rate("csu_edge_connections_closed_total")),
                    "{{listener}} {{limit}}",
                ),
            ),
            lines(
                "TLS handshakes that failed",
                "cps",
                "Anyone can cause them, a balancer's TCP probe too. A rise after a certificate "
                "was replaced: clients do not trust the new one. No curve without TLS.",
                target(
                    by("listener", rate("csu_edge_tls_handshake_failures_total")), "{{listener}}"
                ),
            ),
            lines(
                "Time until certificates end",
                "s",
                "Of the certificate in use, by listener. Below two weeks it was not renewed, or "
                "the new one cannot be used: CsuEdgeCertificateEnds.",
                target(
                    f"csu_edge_tls_certificate_expiry_seconds{{{NODES}}} - time()",
                    "{{instance}} {{listener}}",
                ),
                min=None,
            ),
            states(
                "TLS files of no use?",
                "yes: the files were changed into something that cannot be used, and what was "
                "loaded before stands. The log has why: CsuEdgeCertificateUnusable.",
                f"1 - csu_edge_tls_files_usable{{{NODES}}}",
                "{{instance}} {{listener}}",
                GOOD_BAD,
            ),
            lines(
                "TLS files taken over, or not",
                "short",
                "Changes of TLS files within the day, by what became of them. failed with an ok "
                "after it is two files that were written one after the other.",
                target(
                    f"sum by (listener, outcome) (increase(csu_edge_tls_reloads_total{{{NODES}}}[1d]))",
                    "{{listener}} {{outcome}}",
                ),
            ),
            lines(
                "Processor",
                "short",
                "Cores that the process keeps busy. At as many as listen.workers, it can do no "
                "more: add a node, or give it cores.",
                target(rate("process_cpu_seconds_total"), "{{instance}}"),
            ),
            lines(
                "Resident memory",
                "bytes",
                "Memory of the process, as the kernel counts it: what is stored, and what is "
                "under way. Beside the limit of its container or unit.",
                target(f"process_resident_memory_bytes{{{NODES}}}", "{{instance}}"),
            ),
            ratios(
                "Open files, of those that may be",
                "Connections are what a node has open. Past 90 %: CsuEdgeFilesRunOut.",
                target(f"process_open_fds{{{NODES}}} / process_max_fds{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "Not told: access log and spans",
                "cps",
                "Lines that are missing in the access log, and spans that did not get to the "
                "collector, by reason. Neither holds a request up: CsuEdgeAccessLogDropped and "
                "CsuEdgeSpansDropped say what to do.",
                target(by("reason", rate("csu_edge_access_log_dropped_total")), "log {{reason}}"),
                target(by("reason", rate("csu_edge_spans_dropped_total")), "spans {{reason}}"),
            ),
            lines(
                "Panics",
                "short",
                "Tasks that ended in a panic within the hour. Each is a bug: CsuEdgePanicked says "
                "what to report.",
                target(f"increase(csu_edge_panics_total{{{NODES}}}[1h])", "{{instance}}"),
            ),
            lines(
                "Versions",
                "short",
                "Nodes by version. More than one is an upgrade that is under way, or was "
                "forgotten.",
                target(f"count by (version) (csu_edge_build_info{{{NODES}}})", "{{version}}"),
                stacked=True,
            ),
        ],
    ),
    (
        "Repeated hits",
        [
            lines(
                "Hits, read and repeated",
                "reqps",
                "Repeated hits are those whose request came before byte for byte on the same "
                "worker, and was not even read: they cost a third of what others do. Fewer of "
                "them at the same traffic: somebody in front adds a field to each request.",
                target(f"sum({rate('csu_edge_repeated_hits_total')})", "repeated"),
                target(
                    "sum("
                    + rate("csu_edge_requests_total", ',result="hit"')
                    + f") - sum({rate('csu_edge_repeated_hits_total')})",
                    "read",
                ),
                stacked=True,
            ),
            ratios(
                "Repeated, of all hits",
                "Low is no fault: HTTP/2, TLS-terminating balancers that add a field of their own "
                "to each request, and many different requests all make for fewer. What may differ "
                "is in docs/decisions/0008.",
                target(
                    by("instance", rate("csu_edge_repeated_hits_total"))
                    + " / ("
                    + by("instance", rate("csu_edge_requests_total", ',result="hit"'))
                    + " > 0)",
                    "{{instance}}",
                ),
            ),
        ],
    ),
]
