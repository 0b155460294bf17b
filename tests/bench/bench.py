#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Measures possum, its neighbours and the machine's own limits side by side.

Every figure is measured in rounds: in each round every contestant and every limit has its
turn, so that a machine that changes its mood changes it for all. What is printed are
medians over the rounds, with the smallest and the largest in brackets.

    ninja -C build tests/bench/bench-producer tests/bench/bench-consumer tests/bench/bench-limits
    meson devenv -C build python3 ../tests/bench/bench.py --programs tests/bench
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

import contestants
import report

SIZES = {
    "VGA I420": ("I420", 640, 480, 460800),
    "1080p NV12": ("NV12", 1920, 1080, 3110400),
    "1080p BGRx": ("BGRx", 1920, 1080, 8294400),
    "4K BGRx": ("BGRx", 3840, 2160, 33177600),
    "8K I420": ("I420", 7680, 4320, 49766400),
}
BOUND_SECONDS = 60


def caps_of(size):
    pixel_format, width, height, _ = SIZES[size]
    return (
        f"video/x-raw,format={pixel_format},width={width},height={height},framerate=60/1"
    )


class Failed(Exception):
    """A contestant that did not finish; the figure is missing and the report says why."""


class Process:
    """A producer or consumer; its lines of JSON are results."""

    def __init__(self, arguments, environment, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []

    def line(self, beginning):
        """The next line that begins so."""
        for text in self.process.stdout:
            self.lines.append(text)
            if text.startswith(beginning):
                return text
        raise Failed(self.process.stderr.read().strip() or "it ended early")

    def result(self):
        return json.loads(self.line("{"))

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
            if number == signal.SIGKILL:
                self.process.wait()
                self.process.stdout.close()
                self.process.stderr.close()


@contextlib.contextmanager
def running(who, size):
    """A run of one contestant: the list takes its processes, which end with the run."""
    who.start(SIZES[size][3])
    processes = []
    watchdog = Watchdog(BOUND_SECONDS, processes)
    try:
        yield processes
    except Failed as problem:
        raise Failed(watchdog.reason() or str(problem)) from None
    finally:
        watchdog.cancel()
        for process in processes:
            process.kill()
        who.stop()


class Bench:
    def __init__(self, options):
        self.options = options
        self.programs = options.programs
        self.results = {}  # figure -> contestant -> list of values
        self.failures = {}

    # --- running ------------------------------------------------------------------------

    def producer(self, who, size, frames, *more, lossless, readers=1, prefix=()):
        return Process(
            [f"{self.programs}/bench-producer", "--caps", caps_of(size),
             "--sink", who.sink(lossless, readers),
             "--frames", str(frames), "--warm-up", str(self.warm_up(frames)), *more],
            who.environment(), prefix)

    def consumer(self, who, size, frames, *more, lossless, prefix=()):
        return Process(
            [f"{self.programs}/bench-consumer", "--src", who.src(lossless, caps_of(size)),
             "--frames", str(frames), "--warm-up", str(self.warm_up(frames)), *more],
            who.environment(), prefix)

    @staticmethod
    def warm_up(frames):
        return max(32, frames // 10)

    def pair(self, who, size, frames, *, foreign=False, read_all=False, rate=0, readers=1,
             stopped=0):
        """One run; the producer's and the consumers' results."""
        lossless = rate == 0
        path = ["--foreign"] if foreign else []
        reading = ["--all"] if read_all else []
        with running(who, size) as processes:
            producer = self.producer(who, size, frames, "--rate", str(rate), *path,
                                     lossless=lossless, readers=readers)
            processes.append(producer)
            producer.line("playing")
            consumers = []
            for _ in range(readers):
                consumer = self.consumer(who, size, frames, *reading, lossless=lossless)
                consumers.append(consumer)
                processes.append(consumer)
            for consumer in consumers:
                consumer.line("playing")
            for consumer in consumers[:stopped]:
                consumer.line("first")
                consumer.kill(signal.SIGSTOP)
            received = [consumer.result() for consumer in consumers[stopped:]]
            produced = producer.result()
            for result in received:
                if result["broken"]:
                    raise Failed(f"{result['broken']:.0f} frames were torn")
            return produced, received

    # --- figures ------------------------------------------------------------------------

    def note(self, figure, name, value):
        self.results.setdefault(figure, {}).setdefault(name, []).append(value)

    def try_figure(self, figure, who, measure):
        if self.failures.get((figure, who.name), 0) >= 2:
            return  # it will not finish the third time either
        try:
            measure()
        except Failed as problem:
            self.failures[(figure, who.name)] = self.failures.get((figure, who.name), 0) + 1
            print(f"   {who.name}: {figure}: {problem}", file=sys.stderr)

    def saturated(self, size, foreign, read_all):
        kind = f"{size}, {'foreign' if foreign else 'pool'}, {'all' if read_all else 'look'}"
        budget = SIZES[size][3] if foreign or read_all else 0
        frames = int(min(20000, max(300, 6e9 // budget if budget else 20000)) * self.options.length)
        for who in self.options.contestants:
            if not who.lossless:
                continue

            def measure(who=who):
                produced, received = self.pair(who, size, frames, foreign=foreign,
                                               read_all=read_all)
                self.note(f"frames/s: {kind}", who.name,
                          received[0]["received"] / received[0]["seconds"])
                self.note(f"CPU ms per 1000 frames: {kind}", who.name,
                          produced["cpu_us_per_frame"] + received[0]["cpu_us_per_frame"])
                self.note(f"sleeps per frame: {kind}", who.name,
                          produced["sleeps_per_frame"] + received[0]["sleeps_per_frame"])

            self.try_figure(f"frames/s: {kind}", who, measure)
        if foreign:
            copied = self.limit("copy", SIZES[size][3], frames)
            self.note(f"frames/s: {kind}", "bare memcpy",
                      copied["received"] / copied["seconds"])

    def paced(self, size, foreign):
        kind = f"{size}, {'foreign' if foreign else 'pool'}"
        frames = int(300 * self.options.length)
        for who in self.options.contestants:

            def measure(who=who):
                produced, received = self.pair(who, size, frames, foreign=foreign, rate=60)
                for part in ("p50", "p90", "p99"):
                    self.note(f"latency {part} us: {kind}", who.name,
                              received[0][f"latency_{part}_us"])
                self.note(f"CPU ms per 1000 frames at 60 fps: {kind}", who.name,
                          produced["cpu_us_per_frame"] + received[0]["cpu_us_per_frame"])
                self.note(f"page faults per frame: {kind}", who.name,
                          produced["faults_per_frame"] + received[0]["faults_per_frame"])
                self.note(f"memory of the writer MiB: {kind}", who.name,
                          (produced["rss_anon_kib"] + produced["rss_shmem_kib"]) / 1024)
                self.note(f"memory of the reader MiB: {kind}", who.name,
                          (received[0]["rss_anon_kib"] + received[0]["rss_shmem_kib"]) / 1024)

            self.try_figure(f"latency p50 us: {kind}", who, measure)
        wake = self.limit("wake", frames, 60)
        guarded = self.limit("semaphore", SIZES[size][3], frames, 60)
        for part in ("p50", "p90", "p99"):
            self.note(f"latency {part} us: {kind}", "bare semaphore",
                      wake[f"latency_{part}_us"])
            self.note(f"latency {part} us: {kind}", "copy under a semaphore",
                      guarded[f"latency_{part}_us"])

    def readers(self, count, stopped):
        size = "1080p NV12"
        frames = int(240 * self.options.length)
        kind = f"{count} readers" + (f", {stopped} stopped" if stopped else "")
        for who in self.options.contestants:

            def measure(who=who):
                produced, received = self.pair(who, size, frames, rate=60, readers=count,
                                               stopped=stopped)
                self.note(f"writer CPU us per frame: {kind}", who.name,
                          produced["cpu_us_per_frame"])
                self.note(f"writer's push p99 us: {kind}", who.name,
                          produced["latency_p99_us"])
                self.note(f"slowest reader frames/s: {kind}", who.name,
                          min(r["received"] / r["seconds"] for r in received))
                self.note(f"latency p50 us: {kind}", who.name,
                          statistics.median(r["latency_p50_us"] for r in received))

            self.try_figure(f"writer CPU us per frame: {kind}", who, measure)

    def first_frame(self):
        """READY to the first frame, both start orders; restart of a killed writer."""
        size = "1080p NV12"
        for who in self.options.contestants:
            def reader_last(who=who):
                self.note("first frame ms: reader joins", who.name, self.join(who, size))

            self.try_figure("first frame ms: reader joins", who, reader_last)
            if not who.reconnects:
                continue

            def restart(who=who):
                age, gap = self.restart(who, size)
                self.note("first frame of a new writer: its age ms", who.name, age)
                self.note("first frame of a new writer: ms without a picture", who.name, gap)

            self.try_figure("first frame of a new writer: its age ms", who, restart)

    def join(self, who, size):
        with running(who, size) as processes:
            producer = self.producer(who, size, 100000, "--rate", "60", lossless=False)
            processes.append(producer)
            producer.line("playing")
            time.sleep(0.5)  # it has been running for a while
            consumer = self.consumer(who, size, 10, lossless=False)
            processes.append(consumer)
            return float(consumer.line("first").split()[1])

    def restart(self, who, size):
        with running(who, size) as processes:
            consumer = self.consumer(who, size, 100000, "--follow", lossless=False)
            processes.append(consumer)
            consumer.line("playing")
            producer = self.producer(who, size, 100000, "--rate", "60", lossless=False)
            processes.append(producer)
            consumer.line("first")
            time.sleep(0.5)
            producer.kill()
            processes.append(self.producer(who, size, 100000, "--rate", "60", lossless=False))
            followed = consumer.result()
            return followed["age_ms"], followed["followed_ms"]

    def system_calls(self):
        """Per frame: the difference of a long and a short run under strace -c."""
        size = "1080p NV12"
        lengths = (1000, 6000)
        for who in self.options.contestants:
            if not who.lossless:
                continue

            def measure(who=who):
                calls = [self.traced(who, size, length) for length in lengths]
                per_frame = (calls[1] - calls[0]) / (lengths[1] - lengths[0])
                self.note("system calls per frame, saturated", who.name, per_frame)

            self.try_figure("system calls per frame, saturated", who, measure)

    def traced(self, who, size, frames):
        trace = ["strace", "-f", "-c", "-o"]
        with running(who, size) as processes:
            logs = [os.path.join(who.directory, side) for side in ("p.trace", "c.trace")]
            producer = self.producer(who, size, frames, lossless=True,
                                     prefix=[*trace, logs[0]])
            processes.append(producer)
            producer.line("playing")
            consumer = self.consumer(who, size, frames, lossless=True,
                                     prefix=[*trace, logs[1]])
            processes.append(consumer)
            consumer.result()
            producer.result()
            consumer.process.wait()
            producer.kill(signal.SIGINT)
            producer.process.wait()
            total = 0
            for log in logs:
                with open(log, encoding="utf-8") as file:
                    lines = [line.split() for line in file if line.rstrip().endswith("total")]
                total += int(lines[-1][3] if len(lines[-1]) > 4 else lines[-1][2])
            return total

    def limit(self, *arguments):
        output = subprocess.run(
            [f"{self.programs}/bench-limits", *map(str, arguments)],
            check=True, capture_output=True, text=True).stdout
        return json.loads(output)


class Watchdog:
    """Ends what does not finish, so that a contestant that hangs costs one figure."""

    def __init__(self, seconds, processes):
        self.processes = processes
        self.seconds = seconds
        self.fired = False
        signal.signal(signal.SIGALRM, self.fire)
        signal.alarm(seconds)

    def fire(self, _signal, _frame):
        self.fired = True
        for process in self.processes:
            process.kill(signal.SIGKILL)
        raise Failed(self.reason())

    def reason(self):
        return f"did not finish within {self.seconds} s" if self.fired else ""

    def cancel(self):
        signal.alarm(0)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = re.findall(r"model name\s*: (.*)", file.read())
    version = subprocess.run(["gst-inspect-1.0", "--version"], capture_output=True, text=True,
                             check=True).stdout.split("\n")[1]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "gstreamer": version,
    }


FIGURES = {
    "saturated": lambda bench, sizes: [
        bench.saturated(size, foreign, read_all)
        for size in sizes for foreign in (False, True) for read_all in (False, True)],
    "paced": lambda bench, sizes: [
        bench.paced(size, foreign) for size in sizes for foreign in (False, True)],
    "readers": lambda bench, sizes: [
        bench.readers(count, stopped)
        for count, stopped in ((1, 0), (4, 0), (16, 0), (32, 0), (16, 1))],
    "start": lambda bench, sizes: bench.first_frame(),
    "calls": lambda bench, sizes: bench.system_calls(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True, help="directory of bench-producer")
    parser.add_argument("--output", default=".", help="directory for bench.json, bench.svg")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=float, default=1.0, help="factor on frames per run")
    parser.add_argument("--figure", action="append", choices=FIGURES, help="only these")
    parser.add_argument("--size", action="append", choices=SIZES, help="only these")
    parser.add_argument("--contestant", action="append", help="only these")
    options = parser.parse_args()
    options.contestants = [
        who for who in contestants.ALL
        if who.available() and (not options.contestant or who.name in options.contestant)]
    print("contestants:", ", ".join(who.name for who in options.contestants), file=sys.stderr)

    bench = Bench(options)
    for number in range(options.rounds):
        for figure in options.figure or FIGURES:
            print(f"round {number + 1}/{options.rounds}: {figure}", file=sys.stderr)
            FIGURES[figure](bench, options.size or SIZES)
    os.makedirs(options.output, exist_ok=True)
    outcome = {"machine": machine(), "rounds": options.rounds, "results": bench.results}
    with open(os.path.join(options.output, "bench.json"), "w", encoding="utf-8") as file:
        json.dump(outcome, file, indent=1)
    print(report.table(outcome))
    with open(os.path.join(options.output, "bench.svg"), "w", encoding="utf-8") as file:
        file.write(report.chart(outcome))


if __name__ == "__main__":
    main()
