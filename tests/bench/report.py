# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""A table and a chart of what bench.py measured."""

import statistics
from html import escape

COLOURS = ["#1f6f5c", "#d98e04", "#7c5cbf", "#b2433f", "#888888", "#555555"]


def short(value):
    for limit, text in ((10000, "{:,.0f}"), (100, "{:.0f}"), (10, "{:.1f}")):
        if abs(value) >= limit:
            return text.format(value)
    return f"{value:.2f}"


def table(outcome):
    """Markdown: a row per figure, a column per contestant; medians (smallest-largest)."""
    results = outcome["results"]
    names = sorted({name for row in results.values() for name in row},
                   key=lambda name: (name != "possum", name))
    lines = ["| " + " | ".join(["figure", *names]) + " |", "|---" * (len(names) + 1) + "|"]
    for figure, row in results.items():
        cells = []
        for name in names:
            values = row.get(name)
            cells.append(
                f"{short(statistics.median(values))} "
                f"({short(min(values))}-{short(max(values))})" if values else "-")
        lines.append("| " + " | ".join([figure, *cells]) + " |")
    machine = outcome["machine"]
    lines.append("")
    lines.append(f"{machine['processor']}, {machine['processors']} processors, Linux "
                 f"{machine['kernel']}, {machine['gstreamer']}, medians of "
                 f"{outcome['rounds']} rounds (smallest-largest).")
    return "\n".join(lines)


def chart(outcome, kinds=("frames/s: ", "latency p50 us: ", "CPU ms per 1000 frames: ")):
    """SVG: one block of horizontal bars per figure; within a block the scale is linear."""
    width, left, bar, gap = 860, 190, 15, 26
    parts, y = [], 10
    names = []
    for kind in kinds:
        for figure, row in outcome["results"].items():
            if not figure.startswith(kind) or len(row) < 2:
                continue
            parts.append(f'<text x="10" y="{y + 12}" font-weight="bold">{escape(figure)}</text>')
            y += 20
            medians = {name: statistics.median(values) for name, values in row.items()}
            largest = max(medians.values()) or 1
            for name, value in medians.items():
                if name not in names:
                    names.append(name)
                colour = COLOURS[names.index(name) % len(COLOURS)]
                length = max(1, (width - left - 110) * value / largest)
                parts.append(
                    f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
                    f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 3}" '
                    f'fill="{colour}"/>'
                    f'<text x="{left + length + 6:.1f}" y="{y + 11}">{short(value)}</text>')
                y += bar
            y += gap - bar
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 10}" '
            f'font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')
