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


def over(one, other):
    """Their ratio; None where there is none."""
    return one / other if one is not None and other else None


class Outcome:
    """Medians by figure, case and contestant; None where there is none."""

    def __init__(self, outcome):
        self.results = outcome["results"]

    def values(self, figure, case, who):
        return self.results.get(figure, {}).get(case, {}).get(who, [])

    def median(self, figure, case, who="possum"):
        values = self.values(figure, case, who)
        return statistics.median(values) if values else None

    def against_best(self, figure, case, better):
        """(possum's / the best neighbour's, its name); `better` picks the best one."""
        found = [(value, who) for who in NEIGHBOURS
                 if (value := self.median(figure, case, who)) is not None]
        best, who = better(found) if found else (None, None)
        return over(self.median(figure, case), best), who

    def ratio(self, figure, case, other):
        return over(self.median(figure, case), self.median(figure, case, other))

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


def speed_bars(outcome):
    """(figure, sense, bar, measured or None): how fast, beside the neighbours and limits."""
    looked, read = "{}, pool, 64 bytes read", "{}, pool, every byte read"
    for size in f.SIZES:
        for where in f.PLACES:
            case = f.paced_case(size, False, where)
            yield (f"latency p50 / bare semaphore: {size}, {where}", "<=", 1.5,
                   outcome.ratio(f.LATENCY.format("p50"), case, "bare semaphore"))
    for size in f.SIZES:
        ratio, who = outcome.against_best(f.RATE, looked.format(size), max)
        yield f"frames/s, 64 bytes read / best neighbour ({who}): {size}", ">=", 2, ratio
    yield ("frames/s, 64 bytes read: 4K / VGA", ">=", 0.9,
           over(outcome.median(f.RATE, looked.format("4K BGRx")),
                outcome.median(f.RATE, looked.format("VGA I420"))))
    ratio, who = outcome.against_best(f.RATE, read.format("1080p BGRx"), max)
    yield f"frames/s, every byte read / best neighbour ({who}): 1080p BGRx", ">=", 1, ratio
    for size in ("1080p BGRx", "4K BGRx"):
        yield (f"frames/s, foreign memory / bare memcpy: {size}", ">=", 1.1, outcome.ratio(
            f.RATE, f"{size}, foreign memory, 64 bytes read", "bare memcpy"))


def cost_bars(outcome):
    """The same: what it takes of the machine and of others."""
    for kind, case in (("saturated", "1080p BGRx, pool, 64 bytes read"),
                       ("60 fps", "1080p BGRx, pool")):
        ratio, who = outcome.against_best(f.CPU.format(kind), case, min)
        yield f"CPU / best neighbour ({who}), {kind}: 1080p BGRx", "<=", 0.5, ratio
    calls = outcome.median(f.CALLS_AWAKE, "1080p NV12")
    # What is done once a second, or for a new slot, is no cost of a frame.
    yield (f.CALLS_AWAKE + ", in hundredths", "<=", 0,
           None if calls is None else round(calls, 2))
    yield ("each further reader / one semaphore post (writer's CPU)", "<=", 1,
           over(outcome.slope(f.READERS_CPU, "possum"),
                outcome.slope(f.READERS_CPU, "bare semaphore")))
    for figure, what, sense, bar in (
            (f.READERS_PUSH.format("p99"), "writer's push p99", "<=", 1.1),
            (f.READERS_RATE, "slowest other reader's frames/s", ">=", 0.99)):
        yield (f"{what}, one of 16 stopped / none stopped", sense, bar,
               over(outcome.median(figure, "16 readers, 1 stopped"),
                    outcome.median(figure, "16 readers")))
    yield "first frame after attach, ms", "<=", 5, outcome.median(f.FIRST, f.JOINS)
    yield ("first frame of the next writer, ms", "<=", 20 + 1000 / 60,
           outcome.median(f.FIRST, f.AFTER_KILL))
    for side in ("the writer", "the reader"):
        yield (f"own memory of {side}, MiB: 4K BGRx", "<=", 10,
               outcome.median(f.OWN.format(side), "4K BGRx, pool"))


def bars(outcome):
    lines = ["| figure | bar | measured | |", "|---|---|---|---|"]
    for figure, sense, bar, value in (*speed_bars(outcome), *cost_bars(outcome)):
        if value is not None:
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
    footnotes = Footnotes()
    lines = []

    def shown(figure, case, name):
        values, why, failed = (part.get(figure, {}).get(case, {}).get(name)
                               for part in (results, reasons, failures))
        return cell(values, why, failed, footnotes)

    def add(title, columns, cases, text):
        lines.extend(["", f"### {title}", "", "| | " + " | ".join(columns) + " |",
                      "|---" * (len(columns) + 1) + "|"])
        lines.extend(f"| {case} | " + " | ".join(text(case, column) for column in columns)
                     + " |" for case in cases)

    def cases_of(figure):
        return dict.fromkeys((*results.get(figure, {}), *reasons.get(figure, {})))

    counted = f.INSTRUCTIONS.format("")
    for figure in dict.fromkeys((*results, *reasons)):
        names = [name for name in ORDER if any(
            name in row for part in (results, reasons) for row in part.get(figure, {}).values())]
        if not figure.startswith(counted):
            add(figure, names, cases_of(figure), lambda case, name: shown(figure, case, name))
    # All of them possum's.
    if cases := cases_of(f.INSTRUCTIONS.format("take")):
        add("instructions", f.STEPS, cases, lambda case, step: shown(
            f.INSTRUCTIONS.format(step), case, "possum"))
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
