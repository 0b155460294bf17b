# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""One SVG picture: bars for the figures that matter most, curves for what costs grow with."""

import io
import statistics
import textwrap

import figures as f
from report import ORDER, Outcome, description, reader_points, short

try:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter
    MISSING = None
except ImportError:
    MISSING = "no chart: python3-matplotlib is not installed"

COLOURS = {
    "possum": "#0b7a63", "shm": "#d98e04", "unixfd": "#7c5cbf", "PipeWire": "#c2452d",
    "copy under a semaphore": "#b58aa5",
    "semaphore in GStreamer": "#555555", "bare semaphore": "#777777", "bare memcpy": "#aaaaaa",
    "publish": "#0b7a63", "take": "#d98e04", "release": "#7c5cbf",
    "lend": "#c2452d", "give_back": "#777777",
}
PANEL = (5.6, 2.9)  # inches
SIZE = "1080p BGRx"
# One would dwarf the bars; the other is slow for one reason, which README.md gives.
SHOWN = [name for name in ORDER if name not in ("no transport", "look under a semaphore")]


def draw_bars(axes, row):
    """row: (name, values). The line across a bar goes from the smallest value to the largest."""
    names = [name for name, _ in row]
    medians = [statistics.median(values) for _, values in row]
    spread = [[median - min(values) for median, (_, values) in zip(medians, row)],
              [max(values) - median for median, (_, values) in zip(medians, row)]]
    shown = axes.barh(names, medians, xerr=spread, color=[COLOURS[name] for name in names],
                      error_kw={"alpha": 0.6})
    axes.bar_label(shown, [short(median) for median in medians], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


def draw_curves(axes, x_label, lines, logarithmic):
    """lines: name -> [(x, y)]."""
    for name, points in lines.items():
        axes.plot(*zip(*points), marker="o", color=COLOURS[name], label=name.replace("_", " "))
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_xticks(sorted({x for points in lines.values() for x, _ in points}))
        axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(x_label, loc="right")
    axes.grid(axis="y", color="#e4e4e4")
    axes.spines[:].set_visible(False)
    axes.legend(fontsize="small", frameon=False, labelspacing=0.2)


# --- panels: title, subtitle and what draws them, or None where there are no figures ------


def bar_panel(outcome, title, subtitle, figure, case):
    row = [(name, values) for name in SHOWN if (values := outcome.values(figure, case, name))]
    return row and (title, f"{case}; {subtitle}", lambda axes: draw_bars(axes, row))


def curve_panel(title, subtitle, x_label, lines, logarithmic=False):
    lines = {name: sorted(points) for name, points in lines.items() if len(points) > 1}
    return lines and (title, subtitle,
                      lambda axes: draw_curves(axes, x_label, lines, logarithmic))


def by_readers(outcome, title, figure):
    return curve_panel(f"{title}, by readers", "1080p NV12, 60 frames/s", "readers",
                       {name: reader_points(outcome, figure, name) for name in SHOWN})


def by_size(outcome, title, kind):
    lines = {name: [(f.SIZES[size][3] / f.MIB, 1e6 / rate) for size in f.SIZES
                    if (rate := outcome.median(f.RATE, f"{size}, {kind}", name))]
             for name in SHOWN}
    return curve_panel(title, f"saturated; {kind}", "MiB", lines, logarithmic=True)


def by_instructions(outcome, title, x_label, subtitle, cases):
    """cases: (x, case)."""
    lines = {step: [(x, count) for x, case in cases
                    if (count := outcome.median(f.INSTRUCTIONS.format(step), case))]
             for step in f.STEPS}
    return curve_panel(title, subtitle, x_label, lines)


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
    """SVG of one outcome, the content of bench.json. Not where something is MISSING."""
    shown = [panel for panel in panels(Outcome(raw)) if panel]
    words = description(raw) + " Lines across bars: from the smallest value to the largest."
    rows = max(1, (len(shown) + 1) // 2)
    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 9}):
        picture = Figure((2 * PANEL[0], rows * PANEL[1] + 0.6), layout="constrained")
        picture.supxlabel(textwrap.fill(words, 150), x=0.01, ha="left", fontsize="small")
        places = list(picture.subplots(rows, 2, squeeze=False).flat)
        for (title, subtitle, draw), axes in zip(shown, places):
            axes.set_title(title, loc="left", weight="bold", pad=18)
            axes.text(0, 1.03, subtitle, color="#666666", transform=axes.transAxes)
            draw(axes)
        for axes in places[len(shown):]:
            axes.set_axis_off()
        svg = io.StringIO()
        picture.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()
