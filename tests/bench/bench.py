#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Measures possum, its neighbours and the machine's own limits side by side.

Every figure is measured in rounds: in each round every contestant and every limit has its
turn, so that a machine that changes its mood changes it for all. What is printed are
medians over the rounds, with the smallest and the largest in brackets. run.sh builds what
this needs and calls it; README.md says what each figure means."""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

import chart
import contestants
import report
from figures import SIZES, Figures
from processes import end_sessions

GROUPS = {
    "paced": lambda figures, sizes: [
        figures.paced(size, foreign) for size in sizes for foreign in (False, True)],
    "placed": lambda figures, sizes: [
        figures.paced(size, False, where) for size in sizes
        for where in ("one core", "two cores")],
    "saturated": lambda figures, sizes: [
        figures.saturated(size, foreign, read_all)
        for size in sizes for foreign in (False, True) for read_all in (False, True)],
    "readers": lambda figures, sizes: [
        figures.readers(count, stopped)
        for stopped in (0, 1) for count in (1, 4, 16, 32) if count > stopped],
    "start": lambda figures, sizes: figures.start(),
    "calls": lambda figures, sizes: figures.calls(),
    "instructions": lambda figures, sizes: figures.instructions(),
}
QUICK_SIZES = ["VGA I420", "1080p BGRx", "4K BGRx"]


def first_match(path, pattern, otherwise):
    try:
        with open(path, encoding="utf-8") as file:
            match = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return otherwise
    return match[1] if match else otherwise


def version(*command):
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return shown.strip().split("\n")[1] if "\n" in shown else shown.strip()


def machine():
    memory = first_match("/proc/meminfo", r"^MemTotal: +(\d+)", "0")
    return {
        "processor": first_match("/proc/cpuinfo", r"^model name\s*: (.*)$", platform.machine()),
        "processors": os.cpu_count(),
        "virtual": bool(first_match("/proc/cpuinfo", r"^flags.*\b(hypervisor)\b", "")),
        "memory_gib": round(int(memory) / (1 << 20)),
        "kernel": platform.release(),
        "distribution": first_match("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)', "Linux"),
        "gstreamer": version("gst-inspect-1.0", "--version"),
        "pipewire": version("pipewire", "--version"),
    }


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, help="directory of bench-producer")
    parser.add_argument("--output", default=".", help="directory for bench.{json,md,svg}")
    parser.add_argument("--rounds", type=int, help="default: 5; --quick: 3")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, shorter runs")
    parser.add_argument("--add", action="store_true",
                        help="to what bench.json in the output directory holds, if any")
    parser.add_argument("--length", type=float, default=1,
                        help="of each run, as a multiple of the usual; default: 1")
    parser.add_argument("--report", action="store_true",
                        help="measure nothing, show again what bench.json holds")
    parser.add_argument("--figures", action="append", choices=GROUPS, help="only these")
    parser.add_argument("--size", action="append", choices=SIZES, help="only these")
    parser.add_argument("--contestant", action="append",
                        choices=[who.name for who in contestants.ALL], help="only these")
    options = parser.parse_args()
    # Seconds, or frames at 60 a second.
    options.saturated, options.paced, options.readers = 2.0, 300, 600
    if options.quick:
        options.saturated, options.paced, options.readers = 1.5, 150, 180
        options.size = options.size or QUICK_SIZES
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.saturated *= options.length
    options.paced = max(1, round(options.paced * options.length))
    options.readers = max(1, round(options.readers * options.length))
    return options


def contest(options):
    """Who takes part; names the others and says why they do not."""
    absent = {}
    taking_part = []
    for who in contestants.ALL:
        if options.contestant and who.name not in options.contestant:
            continue
        if lacking := who.missing():
            absent[who.name] = f"not here: {lacking}"
        else:
            taking_part.append(who)
    options.contestants = taking_part
    return absent


def write(options, outcome):
    os.makedirs(options.output, exist_ok=True)
    texts = {
        "bench.json": json.dumps(outcome, indent=1) + "\n",
        "bench.md": report.document(outcome),
    }
    if not chart.MISSING:
        texts["bench.svg"] = chart.document(outcome)
    else:  # none rather than one of other values
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(options.output, "bench.svg"))
    for name, text in texts.items():
        path = os.path.join(options.output, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)  # an hour's values are there as a whole
    return texts["bench.md"]


def earlier(options):
    """What bench.json holds; None: there is none."""
    path = os.path.join(options.output, "bench.json")
    try:
        with open(path, encoding="utf-8") as file:
            outcome = json.load(file)
    except FileNotFoundError:
        if not options.report:
            return None
        sys.exit(f"{path} is not there: measure first")
    except ValueError as problem:
        sys.exit(f"{path}: {problem}")
    if not options.report and outcome["machine"] != machine():
        sys.exit(f"{path} is of another machine or another GStreamer: choose another --output")
    return outcome


def measure(options, outcome):
    """All rounds. What there is so far is written after each group, and when interrupted."""
    outcome["absent"].update(contest(options))
    print("contestants:", ", ".join(who.name for who in options.contestants),
          file=sys.stderr, flush=True)
    figures = Figures(options, outcome["results"], outcome["reasons"],
                      outcome.setdefault("failures", {}))
    begin = time.monotonic()
    for number in range(1, options.rounds + 1):
        for group in options.figures or GROUPS:
            print(f"round {number} of {options.rounds}, {group}", end="", file=sys.stderr,
                  flush=True)
            group_begin = time.monotonic()
            try:
                GROUPS[group](figures, options.size or SIZES)
            finally:
                write(options, outcome)
            now = time.monotonic()
            print(f": {now - group_begin:.0f} s, {now - begin:.0f} s in all",
                  file=sys.stderr, flush=True)
        left = (time.monotonic() - begin) / number * (options.rounds - number)
        if left:
            print(f"about {left / 60:.1f} minutes more", file=sys.stderr, flush=True)


def end(number, _frame):
    """As Ctrl-C: the processes of the run are ended, their names removed, values kept."""
    sys.exit(128 + number)


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    options = parse()
    outcome = earlier(options) if options.add or options.report else None
    if not outcome:
        outcome = {"machine": machine(), "absent": {}, "results": {}, "reasons": {}}
    if not options.report:
        try:
            measure(options, outcome)
        finally:
            end_sessions()
    print(write(options, outcome))
    if chart.MISSING:
        print(chart.MISSING, file=sys.stderr)


if __name__ == "__main__":
    main()
