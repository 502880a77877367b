#!/usr/bin/env python3
"""Makes the charts and the table of docs/PERFORMANCE.md from results.json.

Owns: how results look. The table stands between the two marker comments of the document, and is replaced.
Does not know: how anything was measured.
"""

import argparse
import json
import math
import os
from xml.sax.saxutils import escape, quoteattr

BEGIN, END = "<!-- results: made by draw.py -->", "<!-- end of results -->"


def main():
    options = arguments()
    with open(options.results) as file:
        results = json.load(file)
    os.makedirs(options.charts, exist_ok=True)
    for name, text in (("login.svg", login_chart(results)), ("memory.svg", memory_chart(results))):
        with open(f"{options.charts}/{name}", "w") as file:
            file.write(text)
    with open(options.document) as file:
        document = file.read()
    head, found, rest = document.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise SystemExit(f"{options.document} has no place for the table: {BEGIN} and {END}")
    with open(options.document, "w") as file:
        file.write(f"{head}{BEGIN}\n\n{table(results)}\n{END}{tail}")


# The charts.


def login_chart(results):
    panels = [
        Panel(title, "messages in the maildrop", "ms", {
            server["name"]: [(it["count"], it[field]) for it in server["messages"]] for server in results["servers"]
        })
        for title, field in (
            ("First login, no index yet", "first_login_ms"),
            ("Later login, nothing new", "later_login_ms"),
            ("Login after one delivery", "delivered_login_ms"),
        )
    ]
    return figure("Time from connecting to the answer to STAT, over the number of messages", panels)


def memory_chart(results):
    def kib(server, field, x):
        return [(it[x], it["memory_kib"] / 1024) for it in server[field] if it[x] > 0]

    panels = [
        Panel(title, label, "MiB", {server["name"]: kib(server, field, x) for server in results["servers"]})
        for title, label, field, x in (
            ("One session", "messages in the maildrop", "messages", "count"),
            ("Idle sessions, clear text", "sessions", "idle_plain", "sessions"),
            ("Idle sessions, TLS", "sessions", "idle_tls", "sessions"),
        )
    ]
    return figure("Memory of the whole server (PSS of all its processes)", panels)


class Panel:
    """One diagram with two logarithmic axes; `lines` are points by the name of the server."""

    def __init__(self, title, x_label, unit, lines):
        self.title, self.x_label, self.unit = title, x_label, unit
        self.lines = {name: points for name, points in lines.items() if points}
        points = [point for line in self.lines.values() for point in line] or [(1, 1)]
        self.x, self.y = Axis([x for x, _ in points], LEFT, LEFT + PLOT_WIDTH), Axis(
            [y for _, y in points], TOP + PLOT_HEIGHT, TOP
        )

    def draw(self, at):
        parts = [f'<g transform="translate({at} 0)">', label(LEFT, TOP - 12, self.title, "title")]
        bottom, right = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH
        for value, major in self.x.ticks():
            x = self.x.at(value)
            parts.append(line(x, TOP, x, bottom, "grid" if major else "minor"))
            if major:
                parts.append(label(x, bottom + 18, f"{value:,.0f}", "middle"))
        for value, major in self.y.ticks():
            y = self.y.at(value)
            parts.append(line(LEFT, y, right, y, "grid" if major else "minor"))
            if major:
                parts.append(label(LEFT - 6, y + 4, f"{value:,.10g}", "end"))
        parts.append(line(LEFT, bottom, right, bottom, "axis") + line(LEFT, TOP, LEFT, bottom, "axis"))
        parts.append(label(LEFT + PLOT_WIDTH / 2, bottom + 38, self.x_label, "middle"))
        parts.append(label(LEFT - 6, TOP - 12, self.unit, "end"))
        for name, points in self.lines.items():
            parts.append(self.curve(name, points))
        return parts + ["</g>"]

    def curve(self, name, points):
        places = [(self.x.at(x), self.y.at(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks = "".join(
            f"<g><title>{escape(name)}: {x:,} {self.x_label}: {y:,.4g} {self.unit}</title>{mark(name, *place)}</g>"
            for (x, y), place in zip(points, places)
        )
        return f'<g class="{style(name)}"><polyline points="{path}"/>{marks}</g>'


class Axis:
    """A logarithmic axis from the pixel `low` to the pixel `high`, that holds all `values`."""

    def __init__(self, values, low, high):
        values = [max(value, 1e-3) for value in values]
        self.first, self.last = step_below(min(values)), -step_below(-max(values), -1)
        if self.first == self.last:
            self.last *= 10
        self.low, self.high = low, high

    def at(self, value):
        share = math.log(max(value, 1e-3) / self.first) / math.log(self.last / self.first)
        return round(self.low + share * (self.high - self.low), 1)

    def ticks(self):
        """Values for lines of the grid, and whether they get a number."""
        decades = range(math.floor(math.log10(self.first)) - 1, math.ceil(math.log10(self.last)) + 1)
        steps = [(factor * 10.0**decade, factor == 1) for decade in decades for factor in (1, 2, 5)]
        inside = [(value, major) for value, major in steps if self.first * 0.999 <= value <= self.last * 1.001]
        few = sum(major for _, major in inside) < 3
        return [(value, major or few) for value, major in inside]


def step_below(value, sign=1):
    """The largest of ..., 1, 2, 5, 10, 20, ... that is not above `value`; with `sign` -1 all are negative."""
    decade = 10.0 ** math.floor(math.log10(value * sign))
    steps = [sign * factor * decade for factor in (0.5, 1, 2, 5, 10)]
    return max(step for step in steps if step <= value * (1 + sign * 1e-9))


def figure(title, panels):
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    width, height = PANEL_WIDTH * len(panels) + 16, TOP + PLOT_HEIGHT + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f"role=\"img\" aria-label={quoteattr(title)}>",
        f"<title>{escape(title)}</title>",
        STYLE,
        label(LEFT - 40, 22, title, "heading"),
    ]
    at = LEFT - 40
    for name in names:
        parts.append(f'<g class="{style(name)}"><polyline points="{at},42 {at + 34},42"/>{mark(name, at + 17, 42)}</g>')
        parts.append(label(at + 42, 46, name))
        at += 62 + 8 * len(name)
    for number, panel in enumerate(panels):
        parts += panel.draw(number * PANEL_WIDTH)
    return "\n".join(parts) + "\n</svg>\n"


def style(name):
    return "s" + str(ORDER.index(name) if name in ORDER else len(ORDER))


def mark(name, x, y):
    """Another shape for each, for whoever sees no colours."""
    shapes = {
        "s0": f'<circle cx="{x}" cy="{y}" r="4.5"/>',
        "s1": f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
        "s2": f'<path d="M{x} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>',
        "s3": f'<path d="M{x} {y - 5:.1f}l5 9h-10z"/>',
    }
    return shapes.get(style(name), shapes["s0"])


def label(x, y, text, kind="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>'


ORDER = ["poppet", "Dovecot", "Dovecot hp", "Courier"]
PANEL_WIDTH, PLOT_WIDTH, PLOT_HEIGHT = 330, 250, 250
LEFT, TOP = 54, 96

# The grey and the four colours can be told from white and from black alike: not every viewer knows the media query.
STYLE = """<style>
text { font: 12.5px system-ui, "DejaVu Sans", sans-serif; fill: #767676 }
.heading { font-size: 15px; font-weight: 600 }
.title { font-weight: 600 }
.middle { text-anchor: middle }
.end { text-anchor: end }
.axis { stroke: #767676 }
.grid { stroke: #808080; stroke-opacity: .35 }
.minor { stroke: #808080; stroke-opacity: .13 }
polyline { fill: none; stroke-width: 2 }
.s0 { stroke: #d9480f; fill: #d9480f }
.s1 { stroke: #1c7ed6; fill: #1c7ed6 }
.s2 { stroke: #9c5fd6; fill: #9c5fd6 }
.s3, .s4 { stroke: #2f9e44; fill: #2f9e44 }
.s0 polyline { stroke-width: 3 }
.s2 polyline { stroke-dasharray: 7 4 }
.s3 polyline { stroke-dasharray: 2 3 }
@media (prefers-color-scheme: light) { text { fill: #333 } .axis { stroke: #555 } }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .axis { stroke: #aaa } }
</style>"""


# The table.


def table(results):
    servers = results["servers"]
    machine = results["machine"]
    versions = ", ".join(
        f"{it['name']} {it['version']}" + (f" ({it['note']})" if it["note"] else "") for it in servers
    )
    lines = [
        f"Measured on {results['date']} in one run on {machine['cores']} cores of {machine['processor']} with "
        f"{machine['memory_mib'] / 1024:.0f} GiB of memory, Linux {machine['kernel']}, {machine['file_system']}, "
        f"Python {machine['python']}: {versions}.",
        "",
        "| | " + " | ".join(server["name"] for server in servers) + " |",
        "|---|" + "---:|" * len(servers),
    ]
    for name, values in rows(results):
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    client = results["client"]
    lines += [
        "",
        f"The limit of this client: a program that sends it one prepared stream, whatever it asks, reaches "
        f"{show(client['plain_ahead_mb_s'])} MB/s in clear text and {show(client['tls_ahead_mb_s'])} MB/s over TLS.",
    ]
    lines += [f"Not measured: {it['name']} ({it['why']})." for it in results["skipped"]]
    return "\n".join(lines) + "\n"


def rows(results):
    servers = results["servers"]
    counts = sorted({it["count"] for server in servers for it in server["messages"]})
    large = [count for count in counts if count >= 10_000] or counts[-1:]
    for title, field in (
        ("first login, ms", "first_login_ms"),
        ("later login, ms", "later_login_ms"),
        ("login after one delivery, ms", "delivered_login_ms"),
        ("UIDL, ms", "uidl_ms"),
        ("LIST, ms", "list_ms"),
        ("memory with that session, KiB", "memory_kib"),
    ):
        for count in large:
            yield f"{count:,} messages: {title}", [show(of_count(server, count).get(field)) for server in servers]
    for title, field in (
        ("one by one", "plain_one_by_one_mb_s"),
        ("16 ahead", "plain_ahead_mb_s"),
        ("TLS, one by one", "tls_one_by_one_mb_s"),
        ("TLS, 16 ahead", "tls_ahead_mb_s"),
    ):
        name = f"download of {results['download_messages']:,} messages, {title}, MB/s"
        yield name, [show(server["download"][field]) for server in servers]
    for way, title in (("plain", "clear text"), ("tls", "TLS")):
        rates = [(server["sessions"][f"{way}_per_s"], server["sessions"][f"{way}_client_us"]) for server in servers]
        yield f"whole sessions a second, 16 clients, {title}", [show(rate) for rate, _ in rates]
        cores = results["client"]["cores"]
        shares = [show(rate and rate * used / 1e4 / cores) for rate, used in rates]
        yield f"what the client took of all cores then, {title}, %", shares
    yield "server without sessions, KiB", [show(server["memory_kib"]) for server in servers]
    for field, title in (("idle_plain", "clear text"), ("idle_tls", "TLS")):
        yield f"an idle session, {title}, KiB", [show(a_session(server[field], servers, field)) for server in servers]


def of_count(server, count):
    return next((it for it in server["messages"] if it["count"] == count), {})


def a_session(steps, servers, field):
    """What one more session takes, at the most sessions that each server was measured with."""
    if len(steps) < 2:
        return None
    most = min(server[field][-1]["sessions"] for server in servers if len(server[field]) > 1)
    at = next(step for step in reversed(steps) if step["sessions"] <= most)
    return (at["memory_kib"] - steps[0]["memory_kib"]) / at["sessions"]


def show(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def arguments():
    here = os.path.dirname(os.path.abspath(__file__))
    docs = os.path.normpath(here + "/../../docs")
    parser = argparse.ArgumentParser(description="Makes the charts and the table from results.json.")
    parser.add_argument("--results", default=here + "/results.json")
    parser.add_argument("--document", default=docs + "/PERFORMANCE.md", help="the file with the two marker comments")
    parser.add_argument("--charts", default=docs + "/performance", help="folder for login.svg and memory.svg")
    return parser.parse_args()


if __name__ == "__main__":
    main()
