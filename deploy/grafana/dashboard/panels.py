"""Kinds of panels, and what their expressions are made of."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

# What a panel is narrowed down to.
NODES = 'job="$job",instance=~"$instance"'
READS = NODES + ',operation=~"$operation"'


def rate(metric, labels=""):
    return f"rate({metric}{{{NODES}{labels}}}[$__rate_interval])"


def by(labels, expression):
    return f"sum by ({labels}) ({expression})"


def quantile(share, metric, label, labels=""):
    return f"histogram_quantile({share}, {by(f'le, {label}', rate(metric + '_bucket', labels))})"


def target(expression, legend):
    return {"datasource": DATASOURCE, "expr": expression, "legendFormat": legend}


def panel(kind, title, unit, description, targets, options, custom=None, **defaults):
    field = {"unit": unit, **defaults}
    if custom:
        field["custom"] = custom
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [{"refId": chr(ord("A") + at), **one} for at, one in enumerate(targets)],
        "fieldConfig": {"defaults": field, "overrides": []},
        "options": options,
    }


def lines(title, unit, description, *targets, stacked=False, **defaults):
    """Curves over time; stacked where only their sum means something."""
    custom = {"lineWidth": 1, "fillOpacity": 25 if stacked else 5, "showPoints": "never"}
    custom["stacking"] = {"mode": "normal" if stacked else "none", "group": "A"}
    options = {
        "legend": {
            "showLegend": True,
            "displayMode": "table",
            "placement": "right",
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    defaults = {"min": 0, **defaults}
    defaults = {name: value for name, value in defaults.items() if value is not None}
    return panel("timeseries", title, unit, description, targets, options, custom, **defaults)


def ratios(title, description, *targets):
    return lines(title, "percentunit", description, *targets, max=1)


def number(title, unit, description, expression, *steps):
    """One figure, coloured from each bound on: (bound, colour), the first without a bound."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
    }
    steps = [{"value": bound, "color": colour} for bound, colour in steps]
    thresholds = {"mode": "absolute", "steps": steps or [{"value": None, "color": "text"}]}
    return panel(
        "stat", title, unit, description, [target(expression, "")], options, thresholds=thresholds
    )


def states(title, description, expression, legend, names):
    """Bands over time: what state each series was in. names: (value, text, colour)."""
    mapping = {
        "type": "value",
        "options": {
            str(value): {"text": text, "color": colour, "index": at}
            for at, (value, text, colour) in enumerate(names)
        },
    }
    options = {
        "showValue": "never",
        "mergeValues": True,
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0}
    return panel(
        "state-timeline",
        title,
        "none",
        description,
        [target(expression, legend)],
        options,
        custom,
        mappings=[mapping],
    )


BREAKER = [(0, "closed", "green"), (1, "a probe is awaited", "yellow"), (2, "open", "red")]
GOOD_BAD = [(0, "no", "green"), (1, "yes", "red")]
