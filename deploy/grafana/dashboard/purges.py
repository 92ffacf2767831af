"""Push events, purges, and whether nodes can vouch for what they know."""

from panels import GOOD_BAD, NODES, by, lines, rate, ratios, states, target

ROWS = [
    (
        "Purges: lag and fence",
        [
            lines(
                "Push events by type",
                "cps",
                "Events that were accepted. None for longer than your jobs' interval: the sender "
                "has stopped, and changes are seen only when lifetimes end (CsuEdgeEventsStopped).",
                target(by("type", rate("csu_edge_purge_events_total")), "{{type}}"),
            ),
            lines(
                "Events that came in vain",
                "cps",
                "Deliveries that were refused, events of unknown kinds, and repeated ones. Only "
                "the last are harmless: see CsuEdgeEventsRefused, CsuEdgeDeadLetters and GET "
                "/dead-letters.",
                target(by("reason", rate("csu_edge_ingest_refused_total")), "refused: {{reason}}"),
                target(
                    by("reason", rate("csu_edge_dead_letters_total")), "dead letter: {{reason}}"
                ),
                target(f"sum({rate('csu_edge_duplicate_events_total')})", "seen before"),
            ),
            lines(
                "Dead letters kept",
                "short",
                "Events that purged nothing and can be read at GET /dead-letters. Read them while "
                "they are there: past ingest.dead_letters the oldest goes, and a restart forgets "
                "all.",
                target(f"csu_edge_dead_letters_kept{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "From the change to its purge",
                "s",
                "From a CloudEvent's own time to its purge's standing. Milliseconds where events "
                "are pushed at once; what is longer is the sender's, or deliveries that were "
                "repeated.",
                target(
                    "histogram_quantile(0.5, "
                    + by("le", rate("csu_edge_purge_lag_seconds_bucket"))
                    + ")",
                    "median",
                ),
                target(
                    "histogram_quantile(0.99, "
                    + by("le", rate("csu_edge_purge_lag_seconds_bucket"))
                    + ")",
                    "99 %",
                ),
            ),
            ratios(
                "Purges later than 2.5 s",
                "The share of events whose purge stood later than 2.5 s after the change, for all "
                "nodes of the job. Past 5 %: CsuEdgePurgesLate.",
                target('job:csu_edge_purges_late:ratio_rate15m{job="$job"}', "{{job}}"),
            ),
            states(
                "Fenced?",
                "A node that is fenced has not heard of the others for redis.purge.fence_after, "
                "and fetches every price and stock level. One node: its way to Redis. All: Redis. "
                "See CsuEdgeFenced.",
                f"csu_edge_purge_fenced{{{NODES}}}",
                "{{instance}}",
                GOOD_BAD,
            ),
            lines(
                "Purges not yet applied",
                "short",
                "How far each node was behind the fleet's log at its last beat. A few while "
                "purges come is normal; thousands: CsuEdgePurgeBehind.",
                target(f"csu_edge_purge_behind{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "Purges by who asked",
                "cps",
                "By push events, by what was due later (effectiveAt, gathered searches), by "
                "operators, and by writes under generic.policy. A rise explains a fall of the hit "
                "ratio.",
                target(by("source", rate("csu_edge_purges_total")), "{{source}}"),
            ),
            lines(
                "Tags that purges named",
                "cps",
                "How much is purged. Thousands a second for minutes: let the sender name the "
                "class or the job instead (docs/scale.md).",
                target(by("instance", rate("csu_edge_purged_tags_total")), "{{instance}}"),
            ),
            ratios(
                "Remembered tags, of their limit",
                "Past purge.max_tags everything is purged, which is safe and costs a fetch of all "
                "that is asked for. Past 90 %: CsuEdgePurgeTagsFull.",
                target(
                    f"csu_edge_purge_remembered_tags{{{NODES}}} / "
                    f"csu_edge_purge_remembered_tags_limit{{{NODES}}}",
                    "{{instance}}",
                ),
            ),
            lines(
                "Purges that wait for their moment",
                "short",
                "effectiveAt that lies ahead, and gathered searches. They are lost with the "
                "process: before a restart, see what waits, and send such events again.",
                target(f"csu_edge_purges_scheduled{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "Last purge applied",
                "short",
                "The number of the last purge that each node has applied. In a fleet the curves "
                "are one; a curve that stays below has lost its way to Redis. A jump: a new "
                "lineage.",
                target(f"csu_edge_purge_applied_sequence{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "Lineages entered",
                "short",
                "Times within the hour that the fleet's purges began anew: Redis restarted, "
                "another was promoted, or purges were lost. See CsuEdgeLineageEntered.",
                target(
                    f"increase(csu_edge_purge_lineages_entered_total{{{NODES}}}[1h])",
                    "{{instance}}",
                ),
            ),
        ],
    ),
]
