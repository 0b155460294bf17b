# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""One SVG picture: bars for the figures that matter most, curves for what costs grow with."""

import math
import statistics
import textwrap
from html import escape

import figures as f
from report import ORDER, Outcome, description, reader_points, short

COLOURS = {
    "possum": "#0b7a63", "shm": "#d98e04", "unixfd": "#7c5cbf", "PipeWire": "#c2452d",
    "copy under a semaphore": "#b58aa5",
    "semaphore in GStreamer": "#555555", "bare semaphore": "#777777", "bare memcpy": "#aaaaaa",
    "publish": "#0b7a63", "take": "#d98e04", "release": "#7c5cbf",
    "lend": "#c2452d", "give_back": "#777777",
}
WIDTH, GAP, MARGIN = 440, 20, 16
BARS_TOP, BAR_STEP = 44, 24
PLOT_LEFT, PLOT_TOP, PLOT_RIGHT, PLOT_BOTTOM = 52, 66, 430, 216
SIZE = "1080p BGRx"
# One would dwarf the bars; the other is slow for one reason, which README.md gives.
SHOWN = [name for name in ORDER if name not in ("no transport", "look under a semaphore")]


def text(x, y, words, anchor="start", **more):
    attributes = "".join(
        f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>'
            f'{escape(words)}</text>')


def heading(title, subtitle):
    return [text(0, 14, title, font_weight="bold", font_size=14),
            text(0, 31, subtitle, fill="#666666")]


def bars(title, subtitle, row):
    """row: (name, values), at least one. A panel, as curves(): its height and what is in it.
    The line across a bar goes from the smallest value to the largest."""
    parts = heading(title, subtitle)
    largest = max(max(values) for _, values in row) or 1

    def across(value):
        return max(1.0, 210 * value / largest)

    for number, (name, values) in enumerate(row):
        y = BARS_TOP + BAR_STEP * number
        median = statistics.median(values)
        length, low, high = across(median), across(min(values)), across(max(values))
        parts += [
            text(148, y + 12, name, "end"),
            f'<rect x="156" y="{y}" width="{length:.1f}" height="16" rx="2" '
            f'fill="{COLOURS[name]}"/>',
            text(162 + max(length, high), y + 12, short(median))]
        if high - low >= 1:
            parts.append(f'<line x1="{156 + low:.1f}" x2="{156 + high:.1f}" y1="{y + 8}" '
                         f'y2="{y + 8}" stroke="black" stroke-opacity="0.6"/>')
    return BARS_TOP + BAR_STEP * len(row), parts


class Axis:
    def __init__(self, values, begin, end, logarithmic):
        self.begin, self.end, self.logarithmic = begin, end, logarithmic
        low, high = min(values), max(values) or 1
        if logarithmic:
            self.low = 10 ** math.floor(math.log10(low))
            self.high = 10 ** math.ceil(math.log10(high * 1.0001))
        else:
            step = 10 ** math.floor(math.log10(high))
            while high / step < 3:
                step /= 2
            self.low, self.step = 0, step
            self.high = step * math.ceil(high / step)

    def __call__(self, value):
        if self.logarithmic:
            part = (math.log10(max(value, self.low)) - math.log10(self.low)) / (
                math.log10(self.high) - math.log10(self.low))
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self):
        if self.logarithmic:
            return [10 ** power for power in range(round(math.log10(self.low)),
                                                   round(math.log10(self.high)) + 1)]
        return [self.step * i for i in range(round(self.high / self.step) + 1)]


def tick_label(value):
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def curves(title, subtitle, x_label, lines, logarithmic):
    """lines: name -> [(x, y)]."""
    parts = heading(title, subtitle)
    xs = sorted({x for points in lines.values() for x, _ in points})
    across = Axis(xs, PLOT_LEFT, PLOT_RIGHT - 8, logarithmic)
    up = Axis([y for points in lines.values() for _, y in points], PLOT_BOTTOM, PLOT_TOP,
              logarithmic)
    for tick in up.ticks():
        parts += [f'<line x1="{PLOT_LEFT}" x2="{PLOT_RIGHT}" y1="{up(tick):.1f}" '
                  f'y2="{up(tick):.1f}" stroke="#e4e4e4"/>',
                  text(PLOT_LEFT - 6, up(tick) + 4, tick_label(tick), "end", fill="#666666")]
    for x in across.ticks() if logarithmic else xs:
        parts.append(text(across(x), PLOT_BOTTOM + 15, tick_label(x), "middle",
                          fill="#666666"))
    parts.append(text(PLOT_RIGHT, PLOT_BOTTOM + 29, x_label, "end", fill="#666666"))
    for name, points in lines.items():
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" '
                     f'stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" '
                  f'fill="{COLOURS[name]}"/>' for x, y in points]
    return PLOT_BOTTOM + 32, parts + legend(lines)


def legend(names):
    parts, x, y = [], 0, 42
    for name in names:
        shown = name.replace("_", " ")
        length = 22 + 6.2 * len(shown)
        if x + length > WIDTH:
            x, y = 0, y + 13
        parts += [f'<circle cx="{x + 5:.1f}" cy="{y}" r="4" fill="{COLOURS[name]}"/>',
                  text(x + 13, y + 4, shown, font_size=11)]
        x += length
    return parts


# --- panels -----------------------------------------------------------------------------


def bar_panel(outcome, title, subtitle, figure, case):
    row = [(name, values) for name in SHOWN if (values := outcome.values(figure, case, name))]
    return bars(title, f"{case}; {subtitle}", row) if row else None


def by_readers(outcome, title, figure):
    lines = {name: points for name in SHOWN
             if len(points := reader_points(outcome, figure, name)) > 1}
    if not lines:
        return None
    return curves(f"{title}, by readers", "1080p NV12, 60 frames/s", "readers", lines, False)


def by_size(outcome, title, kind):
    lines = {}
    for name in SHOWN:
        points = [(f.SIZES[size][3] / f.MIB, 1e6 / rate) for size in f.SIZES
                  if (rate := outcome.median(f.RATE, f"{size}, {kind}", name))]
        if len(points) > 1:
            lines[name] = sorted(points)
    return curves(title, f"saturated; {kind}", "MiB", lines, True) if lines else None


def by_instructions(outcome, title, x_label, subtitle, cases):
    """cases: (x, case)."""
    lines = {}
    for step in f.STEPS:
        points = [(x, count) for x, case in cases
                  if (count := outcome.median(f.INSTRUCTIONS.format(step), case))]
        if len(points) > 1:
            lines[step] = sorted(points)
    return curves(title, subtitle, x_label, lines, False) if lines else None


def panels(outcome):
    yield bar_panel(outcome, "Latency p50, µs", "60 frames/s, shorter is better",
                    f.LATENCY.format("p50"), f"{SIZE}, pool")
    yield bar_panel(outcome, "CPU, ms per 1000 frames", "60 frames/s, shorter is better",
                    f.CPU.format("60 fps"), f"{SIZE}, pool")
    yield bar_panel(outcome, "Frames/s", "longer is better", f.RATE,
                    f"{SIZE}, pool, 64 bytes read")
    yield bar_panel(outcome, "Frames/s", "longer is better", f.RATE,
                    f"{SIZE}, pool, every byte read")
    yield by_size(outcome, "µs per frame, by frame size", "pool, 64 bytes read")
    yield by_size(outcome, "µs per frame, by frame size", "foreign memory, 64 bytes read")
    yield by_readers(outcome, "Writer's CPU, µs per frame", f.READERS_CPU)
    yield by_readers(outcome, "Latency p50, µs", f.READERS_LATENCY)
    yield by_instructions(outcome, "possum's transport: instructions, by readers", "readers",
                          "16 slots; take and release: of each reader",
                          [(n, f"{n} reader{'s' if n > 1 else ''}, 16 slots")
                           for n in (1, 4, 16, 32)])
    yield by_instructions(outcome, "possum's transport: instructions, by slots", "slots",
                          "one reader", [(n, f"1 reader, {n} slots") for n in (4, 8, 16, 32)])


def document(raw):
    """SVG of one outcome, the content of bench.json."""
    shown = [panel for panel in panels(Outcome(raw)) if panel]
    parts = []
    y = MARGIN
    for number in range(0, len(shown), 2):
        row = shown[number:number + 2]
        for column, (_, panel) in enumerate(row):
            x = MARGIN + column * (WIDTH + GAP)
            parts.append(f'<g transform="translate({x},{y})">{"".join(panel)}</g>')
        y += max(height for height, _ in row) + GAP
    y += 10
    words = description(raw) + " Lines across bars: from the smallest value to the largest."
    for line in textwrap.wrap(words, 140):
        parts.append(text(MARGIN, y, line, fill="#666666"))
        y += 16
    width = 2 * MARGIN + 2 * WIDTH + GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" '
            f'width="{width}" height="{y}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) +
            "\n</svg>\n")
