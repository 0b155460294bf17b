# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Markdown about what was measured: against the bars, then everything."""

import statistics

import figures as f

NEIGHBOURS = ("shm", "unixfd", "PipeWire")
ORDER = ("possum", *NEIGHBOURS, "copy under a semaphore", "look under a semaphore",
         "semaphore in GStreamer", "bare semaphore", "bare memcpy", "no transport")


def short(value):
    for limit, text in ((1000, "{:,.0f}"), (100, "{:.0f}"), (10, "{:.1f}")):
        if abs(value) >= limit:
            return text.format(value)
    return f"{value:.2f}" if abs(value) >= 0.005 or value == 0 else f"{value:.4f}"


class Outcome:
    """Medians by figure, case and contestant; None where there is none."""

    def __init__(self, outcome):
        self.results = outcome["results"]

    def values(self, figure, case, who):
        return self.results.get(figure, {}).get(case, {}).get(who, [])

    def median(self, figure, case, who="possum"):
        values = self.values(figure, case, who)
        return statistics.median(values) if values else None

    def best(self, figure, case, better):
        """(value, name) of the best neighbour, which is the one that `better` picks."""
        found = [(value, who) for who in NEIGHBOURS
                 if (value := self.median(figure, case, who)) is not None]
        return better(found) if found else (None, None)

    def ratio(self, figure, case, other):
        mine, theirs = self.median(figure, case), self.median(figure, case, other)
        return mine / theirs if mine is not None and theirs else None

    def slope(self, figure, who):
        """What each further reader adds; least squares over the numbers of readers."""
        points = reader_points(self, figure, who)
        if len(points) < 2:
            return None
        return statistics.linear_regression(*zip(*points)).slope


def reader_points(outcome, figure, who):
    points = []
    for case in outcome.results.get(figure, {}):
        if "stopped" not in case:
            value = outcome.median(figure, case, who)
            if value is not None:
                points.append((int(case.split()[0]), value))
    return sorted(points)


# --- bars -------------------------------------------------------------------------------


def latency_bars(outcome):
    for size in f.SIZES:
        for where in f.PLACES:
            case = f.paced_case(size, False, where)
            ratio = outcome.ratio(f.LATENCY.format("p50"), case, "bare semaphore")
            yield f"latency p50 / bare semaphore: {size}, {where}", "<=", 1.5, ratio


def look_bars(outcome):
    def case(size):
        return f"{size}, pool, 64 bytes read"
    for size in f.SIZES:
        best, who = outcome.best(f.RATE, case(size), max)
        mine = outcome.median(f.RATE, case(size))
        yield (f"frames/s, 64 bytes read / best neighbour ({who}): {size}", ">=", 2,
               mine / best if mine and best else None)
    small = outcome.median(f.RATE, case("VGA I420"))
    large = outcome.median(f.RATE, case("4K BGRx"))
    yield ("frames/s, 64 bytes read: 4K / VGA", ">=", 0.9,
           large / small if small and large else None)


def read_bars(outcome):
    case = "1080p BGRx, pool, every byte read"
    best, who = outcome.best(f.RATE, case, max)
    mine = outcome.median(f.RATE, case)
    yield (f"frames/s, every byte read / best neighbour ({who}): 1080p BGRx", ">=", 1,
           mine / best if mine and best else None)


def foreign_bars(outcome):
    for size in ("1080p BGRx", "4K BGRx"):
        case = f"{size}, foreign memory, 64 bytes read"
        yield (f"frames/s, foreign memory / bare memcpy: {size}", ">=", 1.1,
               outcome.ratio(f.RATE, case, "bare memcpy"))


def cpu_bars(outcome):
    for kind, case in (("saturated", "1080p BGRx, pool, 64 bytes read"),
                       ("60 fps", "1080p BGRx, pool")):
        figure = f.CPU.format(kind)
        best, who = outcome.best(figure, case, min)
        mine = outcome.median(figure, case)
        yield (f"CPU / best neighbour ({who}), {kind}: 1080p BGRx", "<=", 0.5,
               mine / best if mine and best else None)


def other_bars(outcome):
    calls = outcome.median(f.CALLS_AWAKE, "1080p NV12")
    # What is done once a second, or for a new slot, is no cost of a frame.
    yield (f.CALLS_AWAKE + ", in hundredths", "<=", 0,
           None if calls is None else round(calls, 2))
    mine = outcome.slope(f.READERS_CPU, "possum")
    post = outcome.slope(f.READERS_CPU, "bare semaphore")
    yield ("each further reader / one semaphore post (writer's CPU)", "<=", 1,
           mine / post if mine is not None and post else None)
    for figure, what in ((f.READERS_PUSH.format("p99"), "writer's push p99"),
                         (f.READERS_RATE, "slowest other reader's frames/s")):
        moved = outcome.median(figure, "16 readers, 1 stopped")
        all_run = outcome.median(figure, "16 readers")
        yield (f"{what}, one of 16 stopped / none stopped",
               ">=" if figure == f.READERS_RATE else "<=",
               0.99 if figure == f.READERS_RATE else 1.1,
               moved / all_run if moved is not None and all_run else None)
    yield "first frame after attach, ms", "<=", 5, outcome.median(f.FIRST, f.JOINS)
    yield ("first frame of the next writer, ms", "<=", 20 + 1000 / 60,
           outcome.median(f.FIRST, f.AFTER_KILL))
    for side in ("the writer", "the reader"):
        yield (f"own memory of {side}, MiB: 4K BGRx", "<=", 10,
               outcome.median(f.OWN.format(side), "4K BGRx, pool"))


def bars(outcome):
    lines = ["| figure | bar | measured | |", "|---|---|---|---|"]
    for group in (latency_bars, look_bars, read_bars, foreign_bars, cpu_bars, other_bars):
        for figure, sense, bar, value in group(outcome):
            if value is None:
                continue
            held = value <= bar if sense == "<=" else value >= bar
            lines.append(f"| {figure} | {sense} {short(bar)} | {short(value)} | "
                         f"{'held' if held else '**missed**'} |")
    return lines


# --- the least --------------------------------------------------------------------------

LEAST = "semaphore in GStreamer"


def compared(outcome):
    """(what, possum's, the least's, the bare semaphore's). The size of a frame does not
    matter to what copies none: medians of all sizes together."""
    who = ("possum", LEAST, "bare semaphore")
    for figure in (f.LATENCY.format("p50"), f.CPU.format("60 fps")):
        for where in f.PLACES:
            values = ([value for size in f.SIZES
                       for value in outcome.values(
                           figure, f.paced_case(size, False, where), name)]
                      for name in who)
            yield f"{figure}, {where}", *(statistics.median(v) if v else None for v in values)
    yield (f"{f.READERS_CPU}, each further reader",
           *(outcome.slope(f.READERS_CPU, name) for name in who))


def against_the_least(outcome):
    """How much of a figure is GStreamer's, and how much possum's own."""
    lines = [f"| pool, all sizes | possum | {LEAST} | bare semaphore | possum / {LEAST} "
             f"| {LEAST} / bare semaphore |", "|---|---|---|---|---|---|"]
    for what, mine, least, bare in compared(outcome):
        if mine is not None and least and bare:
            ratios = (mine / least, least / bare)
            lines.append(f"| {what} | " + " | ".join(map(short, (mine, least, bare, *ratios)))
                         + " |")
    return lines


# --- in short ---------------------------------------------------------------------------

SHORT = (
    ("latency p50, µs", f.LATENCY.format("p50"), "{}, pool"),
    ("latency p99, µs", f.LATENCY.format("p99"), "{}, pool"),
    ("latency p50, both on one core, µs", f.LATENCY.format("p50"), "{}, pool, one core"),
    ("latency p50, on two cores, µs", f.LATENCY.format("p50"), "{}, pool, two cores"),
    ("CPU at 60 frames/s, ms per 1000 frames", f.CPU.format("60 fps"), "{}, pool"),
    ("CPU saturated, ms per 1000 frames", f.CPU.format("saturated"),
     "{}, pool, 64 bytes read"),
    ("frames/s, 64 bytes read", f.RATE, "{}, pool, 64 bytes read"),
    ("frames/s, every byte read", f.RATE, "{}, pool, every byte read"),
    ("frames/s, foreign memory", f.RATE, "{}, foreign memory, 64 bytes read"),
    ("first frame of a reader that joins, ms", f.FIRST, f.JOINS),
    ("first frame of the next writer, ms", f.FIRST, f.AFTER_KILL),
)


def in_short(outcome, size="1080p BGRx"):
    """The figures that matter most: medians, for the README."""
    rows = [(title, values) for title, figure, case in SHORT
            if any(values := [outcome.median(figure, case.format(size), name)
                              for name in ORDER])]
    shown = [i for i in range(len(ORDER)) if any(values[i] is not None for _, values in rows)]
    lines = [f"| {size} | " + " | ".join(ORDER[i] for i in shown) + " |",
             "|---" * (len(shown) + 1) + "|"]
    for title, values in rows:
        cells = ["-" if values[i] is None else short(values[i]) for i in shown]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


# --- everything -------------------------------------------------------------------------


class Footnotes:
    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"


def cell(values, reason, failures, footnotes):
    if not values:
        return f"- {footnotes.mark(reason)}" if reason else ""
    shown = short(statistics.median(values))
    if len(values) > 1:
        shown += f" ({short(min(values))}-{short(max(values))})"
    if failures:
        shown += " " + footnotes.mark(f"{failures} more failed: {reason}")
    return shown


def tables(raw):
    results, reasons, failures = raw["results"], raw["reasons"], raw.get("failures", {})
    seen = {name for cases in (*results.values(), *reasons.values())
            for row in cases.values() for name in row}
    footnotes = Footnotes()
    lines = []
    for figure in dict.fromkeys((*results, *reasons)):
        cases = dict.fromkeys((*results.get(figure, {}), *reasons.get(figure, {})))
        names = [name for name in ORDER if name in seen and any(
            name in part.get(figure, {}).get(case, {})
            for part in (results, reasons) for case in cases)]
        lines += ["", f"### {figure}", "", "| | " + " | ".join(names) + " |",
                  "|---" * (len(names) + 1) + "|"]
        for case in cases:
            row = results.get(figure, {}).get(case, {})
            why = reasons.get(figure, {}).get(case, {})
            failed = failures.get(figure, {}).get(case, {})
            cells = [cell(row.get(name), why.get(name), failed.get(name), footnotes)
                     for name in names]
            lines.append(f"| {case} | " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"[{number}] {text}" + "  " for number, text in enumerate(footnotes.texts, 1)]
    return lines


def rounds(raw):
    """How many each median is of. Instructions are the same in all and counted once."""
    counts = {len(values) for figure, cases in raw["results"].items()
              if not figure.startswith(f.INSTRUCTIONS.format(""))
              for row in cases.values() for values in row.values()}
    fewest, most = min(counts, default=0), max(counts, default=0)
    if most <= 1:
        return "one round" if most else "no rounds"
    return f"medians of {most if fewest == most else f'{fewest} to {most}'} rounds"


def description(raw):
    machine = raw["machine"]
    text = (f"{machine['processor']}{' (virtual machine)' if machine['virtual'] else ''}, "
            f"{machine['processors']} processors, {machine['memory_gib']} GiB, Linux "
            f"{machine['kernel']}, {machine['distribution']}, {machine['gstreamer']}; "
            f"{rounds(raw)}.")
    for name, reason in raw["absent"].items():
        text += f" {name}: {reason}."
    return text


def document(raw):
    """Markdown of one outcome, the content of bench.json."""
    outcome = Outcome(raw)
    return "\n".join([
        "# Side by side", "", description(raw), "",
        "## In short", "", *in_short(outcome), "",
        "## Against the bars", "", *bars(outcome), "",
        "## Against the least that two pipelines can do", "", *against_the_least(outcome), "",
        "## Everything", "", "Medians (smallest-largest) of the rounds. -: not measured, "
        "the number says why.", *tables(raw)]) + "\n"
