# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""What is measured, and how each figure is called."""

import collections
import contextlib
import functools
import os
import re
import statistics
import sys
import tempfile
import time

import contestants
from processes import Failed, Run, output_of

SIZES = {
    "VGA I420": ("I420", 640, 480, 460800),
    "1080p NV12": ("NV12", 1920, 1080, 3110400),
    "1080p BGRx": ("BGRx", 1920, 1080, 8294400),
    "4K BGRx": ("BGRx", 3840, 2160, 33177600),
    "8K I420": ("I420", 7680, 4320, 49766400),
}
MIB = 1 << 20
WARM_UP = 0.3  # seconds from the first frame on, until all buffers have been touched

RATE = "frames/s, saturated"
LATENCY = "latency {}, us"
CPU = "CPU, ms per 1000 frames, {}"
CPU_OF = "CPU of {}, ms per 1000 frames, {}"
FAULTS = "page faults per frame"
CALLS = "system calls per frame, saturated"
CALLS_AWAKE = "system calls per frame but futex(), saturated"
SLEEPS = "sleeps per frame, saturated"
OWN = "own memory of {}, MiB"
SHARED = "shared memory of all, MiB"
MISSED = "frames missed of 1000"
FIRST = "first frame, ms"
READERS_CPU = "writer's CPU, us per frame"
READERS_PUSH = "writer's push {}, us"
READERS_RATE = "slowest reader, frames/s"
READERS_LATENCY = "readers' latency p50, us"
INSTRUCTIONS = "instructions of {}"

JOINS = "reader joins a running writer"
WAITS = "writer comes to a waiting reader"
AFTER_KILL = "writer is killed, the next one starts"
GAP = "the same, without a picture"

# Which processor the producer has, and the consumer. Waking somebody on another core costs
# several times as much as on one's own, and a scheduler that is free chooses either.
PLACES = {"anywhere": None, "one core": (0, 0), "two cores": (0, 1)}

STEPS = ("lend", "publish", "give_back", "take", "release")


def caps_of(size):
    pixel_format, width, height, _ = SIZES[size]
    return (
        f"video/x-raw,format={pixel_format},width={width},height={height},framerate=60/1"
    )


def paced_case(size, foreign, where):
    """How results call what is measured at 60 frames/s."""
    case = f"{size}, {'foreign memory' if foreign else 'pool'}"
    return case + ("" if where == "anywhere" else f", {where}")


def cpu_seconds(processes):
    """CPU time that each of these processes has used so far, if it still lives."""
    used = {}
    for process in processes:
        with contextlib.suppress(OSError):
            # As clock_getcpuclockid(3) makes it: the clock of all threads, also of those
            # that have ended.
            used[process] = time.clock_gettime(~process << 3 | 2)
    return used


def cpu_seconds_since(before):
    return sum(now - before[process] for process, now in cpu_seconds(before).items())


class Figures:
    """Results: figure -> case -> contestant -> one value per round."""

    def __init__(self, options, results, reasons, failures):
        self.options = options
        self.programs = options.programs
        self.who = options.contestants
        self.results = results
        self.reasons = reasons  # the same without values: why there is none
        self.failures = failures  # the same: how many
        shared = "semaphore {bytes} {readers} {frames} {rate} "
        self.wake, self.demonstration, self.peek, self.copy = (
            contestants.Limit(self.programs, name, words) for name, words in (
                ("bare semaphore", "wake {readers} {frames} {rate} {cores}"),
                ("copy under a semaphore", shared + "copy"),
                ("look under a semaphore", shared + "look"),
                ("bare memcpy", "copy {bytes} {seconds}")))
        self.nothing = contestants.Nothing()
        self.bell = contestants.Bell()

    def note(self, figure, case, name, value):
        row = self.results.setdefault(figure, {}).setdefault(case, {})
        row.setdefault(name, []).append(value)

    def excuse(self, figure, case, name, reason):
        self.reasons.setdefault(figure, {}).setdefault(case, {})[name] = reason

    def attempt(self, figure, case, name, measure):
        """One measurement. What has failed twice and never succeeded is not tried again."""
        failed = self.failures.get(figure, {}).get(case, {}).get(name, 0)
        if failed >= 2 and not self.results.get(figure, {}).get(case, {}).get(name):
            return
        try:
            measure()
        except Failed as problem:
            self.failures.setdefault(figure, {}).setdefault(case, {})[name] = failed + 1
            why = str(problem) or "it ended early"
            self.excuse(figure, case, name, why)
            print(f"\n   {name}: {figure}, {case}: {why}", end="", file=sys.stderr)

    def each(self, figure, case, who, measure, lossless=False):
        """One measurement of each."""
        for one in who:
            if lossless and one.lossy:
                self.excuse(figure, case, one.name, one.lossy)
            else:
                self.attempt(figure, case, one.name, functools.partial(measure, one))

    # --- one run ------------------------------------------------------------------------

    def pair(self, who, size, *, seconds=0, frames=0, foreign=False, read_all=False, rate=0,
             readers=1, stopped=0, place=None):
        """What the producer and each consumer measured of the same frames."""
        lossless = rate == 0
        frame_bytes = SIZES[size][3]
        with Run(who, self.programs, caps_of(size), 15 + readers, place) as run:
            producer = run.producer(
                "--rate", str(rate), "--seconds", str(seconds), "--frames", str(frames),
                *(["--foreign"] if foreign else []),
                lossless=lossless, readers=readers, frame_bytes=frame_bytes)
            consumers = [
                run.consumer(*(["--all"] if read_all else []), lossless=lossless)
                for _ in range(readers)]
            for consumer in consumers:
                consumer.result()  # its first frame
            for consumer in consumers[:stopped]:
                consumer.stop()
            time.sleep(WARM_UP)
            helpers = who.helpers()
            before = cpu_seconds(helpers)
            run.allow(2 * (seconds or frames / rate) + 5)
            producer.tell("go")
            produced = producer.result()
            received = [consumer.result() for consumer in consumers[stopped:]]
            produced["helpers_us_per_frame"] = (
                cpu_seconds_since(before) * 1e6 / produced["frames"])
            for result in received:
                if lossless and result["missed"]:
                    raise Failed(f"{result['missed']:.0f} frames were missed")
            return produced, received

    # --- as fast as both sides can ------------------------------------------------------

    def saturated(self, size, foreign, read_all):
        case = (f"{size}, {'foreign memory' if foreign else 'pool'}, "
                f"{'every byte' if read_all else '64 bytes'} read")

        def measure(who):
            produced, (received,) = self.pair(
                who, size, seconds=self.options.saturated, foreign=foreign, read_all=read_all)
            self.note(RATE, case, who.name, received["frames"] / received["seconds"])
            self.note_cpu("saturated", case, who.name, produced, received)
            for figure, key in ((SLEEPS, "sleeps_per_frame"),
                                (FAULTS + ", saturated", "faults_per_frame")):
                self.note(figure, case, who.name, produced[key] + received[key])

        self.each(RATE, case, self.who, measure, lossless=True)
        if read_all:
            return
        limit, rate = (self.copy, self.copied) if foreign else (self.nothing, self.alone)
        self.attempt(RATE, case, limit.name,
                     lambda: self.note(RATE, case, limit.name, rate(size)))

    def note_cpu(self, kind, case, name, produced, received):
        helpers = produced.get("helpers_us_per_frame", 0)
        parts = {"the writer": produced["cpu_us_per_frame"],
                 "the reader": received["cpu_us_per_frame"]}
        self.note(CPU.format(kind), case, name, sum(parts.values()) + helpers)
        for side, part in parts.items():
            self.note(CPU_OF.format(side, kind), case, name, part)

    def copied(self, size):
        return self.copy.rate(SIZES[size][3], self.options.saturated)

    def alone(self, size):
        with Run(self.nothing, self.programs, caps_of(size), 15) as run:
            producer = run.producer("--seconds", str(self.options.saturated))
            producer.tell("go")
            produced = producer.result()
            return produced["frames"] / produced["seconds"]

    # --- 60 frames a second -------------------------------------------------------------

    def paced(self, size, foreign, where="anywhere"):
        case = paced_case(size, foreign, where)
        place = PLACES[where]
        frames = self.options.paced

        def measure(who):
            self.note_paced(case, who.name, *self.pair(
                who, size, frames=frames, rate=60, foreign=foreign, place=place))

        def bare(limit):
            self.note_paced(case, limit.name,
                            *limit.pair(SIZES[size][3], frames, 60, place=place))

        figure = LATENCY.format("p50")
        self.each(figure, case, self.who if foreign else [*self.who, self.bell], measure)
        self.each(figure, case, (self.demonstration, self.peek) if foreign else (self.wake,),
                  bare)

    def note_paced(self, case, name, produced, received):
        (received,) = received
        for part in ("p50", "p90", "p99"):
            self.note(LATENCY.format(part), case, name, received[f"latency_{part}_us"])
        self.note_cpu("60 fps", case, name, produced, received)
        self.note(FAULTS, case, name,
                  produced["faults_per_frame"] + received["faults_per_frame"])
        self.note(MISSED, case, name,
                  1000 * received["missed"] / (received["missed"] + received["frames"]))
        if name == self.wake.name:
            return
        self.note(OWN.format("the writer"), case, name, produced["own_kib"] / 1024)
        self.note(OWN.format("the reader"), case, name, received["own_kib"] / 1024)
        self.note(SHARED, case, name,
                  (produced["shared_kib"] + received["shared_kib"]) / 1024)

    # --- many readers -------------------------------------------------------------------

    def readers(self, count, stopped):
        size = "1080p NV12"
        case = f"{count} reader{'s' if count > 1 else ''}"
        case += f", {stopped} stopped" if stopped else ""
        frames = self.options.readers

        def measure(who):
            self.note_readers(case, who.name, *self.pair(
                who, size, frames=frames, rate=60, readers=count, stopped=stopped))

        def bare(limit):
            self.note_readers(case, limit.name,
                              *limit.pair(SIZES[size][3], frames, 60, count))

        self.each(READERS_CPU, case, [*self.who, self.bell], measure)
        if not stopped:
            self.each(READERS_CPU, case, (self.wake, self.peek), bare)

    def note_readers(self, case, name, produced, received):
        self.note(READERS_CPU, case, name,
                  produced["cpu_us_per_frame"] + produced.get("helpers_us_per_frame", 0))
        for part in ("p50", "p99"):
            self.note(READERS_PUSH.format(part), case, name, produced[f"latency_{part}_us"])
        self.note(READERS_RATE, case, name,
                  min(result["frames"] / result["seconds"] for result in received))
        self.note(READERS_LATENCY, case, name,
                  statistics.median(result["latency_p50_us"] for result in received))

    # --- start and restart --------------------------------------------------------------

    def start(self):
        size = "1080p NV12"
        for who in self.who:
            for case, measure in ((JOINS, self.join), (WAITS, self.wait),
                                  (AFTER_KILL, self.restart)):
                self.attempt(FIRST, case, who.name, lambda m=measure, w=who: m(w, size))

    def producer(self, run, size):
        return run.producer("--rate", "60", frame_bytes=SIZES[size][3])

    def join(self, who, size):
        with Run(who, self.programs, caps_of(size), 10) as run:
            self.producer(run, size)
            time.sleep(0.5)  # it has been running for a while
            first = run.consumer().result()
            self.note(FIRST, JOINS, who.name, first["since_start_ms"])

    def wait(self, who, size):
        with Run(who, self.programs, caps_of(size), 10) as run:
            consumer = run.consumer()
            consumer.line("playing")
            time.sleep(0.5)
            self.producer(run, size)
            self.note(FIRST, WAITS, who.name, consumer.result()["since_producers_start_ms"])

    def restart(self, who, size):
        with Run(who, self.programs, caps_of(size), 10) as run:
            producer = self.producer(run, size)
            consumer = run.consumer()
            consumer.result()
            time.sleep(0.5)
            producer.kill()
            run.processes.remove(producer)
            self.producer(run, size)
            first = consumer.result()
            self.note(FIRST, AFTER_KILL, who.name, first["since_producers_start_ms"])
            self.note(FIRST, GAP, who.name, first["without_picture_ms"])

    # --- system calls -------------------------------------------------------------------

    def calls(self):
        """Those that strace sees of both processes while the measured frames pass."""
        size = "1080p NV12"

        def measure(who):
            frames = 5000
            seen = self.traced(who, size, frames)
            self.note(CALLS, size, who.name, sum(seen.values()) / frames)
            self.note(CALLS_AWAKE, size, who.name,
                      (sum(seen.values()) - seen["futex"]) / frames)

        self.each(CALLS, size, self.who, measure, lossless=True)

    def traced(self, who, size, frames):
        """How often each system call was made, by its name."""
        with tempfile.TemporaryDirectory() as logs, Run(
                who, self.programs, caps_of(size), 60) as run:
            producer = run.producer(
                "--frames", str(frames), lossless=True, frame_bytes=SIZES[size][3],
                prefix=["strace", "-f", "-o", f"{logs}/producer"])
            consumer = run.consumer(
                lossless=True, prefix=["strace", "-f", "-o", f"{logs}/consumer"])
            consumer.result()
            time.sleep(WARM_UP)
            producer.tell("go")
            producer.result()
            consumer.result()
            # In this order: a consumer that sees its producer go ends by itself.
            consumer.end()
            producer.end()
            seen = collections.Counter()
            for side in ("consumer", "producer"):
                with open(f"{logs}/{side}", encoding="utf-8") as log:
                    seen += measured_calls(log)
            return seen

    # --- instructions -------------------------------------------------------------------

    def instructions(self):
        """Of possum's transport alone; the same each time, so one round is enough."""
        if self.results.get(INSTRUCTIONS.format("take")):
            return
        for readers, slots in [(n, 16) for n in (1, 4, 16, 32)] + [
                (1, slots) for slots in (4, 8, 32)]:
            case = f"{readers} reader{'s' if readers > 1 else ''}, {slots} slots"

            def measure(readers=readers, slots=slots, case=case):
                for step, count in self.counted(readers, slots).items():
                    self.note(INSTRUCTIONS.format(step), case, "possum", count)

            self.attempt(INSTRUCTIONS.format("take"), case, "possum", measure)

    def counted(self, readers, slots):
        with tempfile.TemporaryDirectory() as directory:
            log = f"{directory}/callgrind"
            channel = f"bench.{os.getpid()}.instructions"
            try:
                frames = int(output_of(
                    ["valgrind", "--tool=callgrind", "--toggle-collect=measured",
                     "--compress-strings=no", "--compress-pos=no",
                     f"--callgrind-out-file={log}",
                     f"{self.programs}/bench-instructions", channel, str(readers),
                     str(slots)], 100))
            finally:
                contestants.remove_names(channel)
            with open(log, encoding="utf-8") as file:
                costs = step_costs(file)
        return {step: cost / frames / (readers if step in ("take", "release") else 1)
                for step, cost in costs.items()}


def step_costs(log):
    """Instructions of all step_...() functions, each with what it calls. The format:
    https://valgrind.org/docs/manual/cl-format.html"""
    costs = dict.fromkeys(STEPS, 0)
    callee, cost_follows = None, False
    for line in log:
        if line.startswith("cfn="):
            name = line[4:].strip().removeprefix("step_")
            callee = name if name in costs else None
        elif cost_follows and callee:
            costs[callee] += int(line.split()[-1])
        cost_follows = line.startswith("calls=")
    return costs


def measured_calls(log):
    """How often each system call begins between the two getrusage(), with which a process
    begins and ends to measure. Not the one that belongs to them."""
    seen, measuring = collections.Counter(), False
    for line in log:
        call = re.match(r"\d+ +(\w+)\(", line)
        if not call:
            continue
        if call[1] == "getrusage":
            if measuring:
                return seen
            measuring = True
        elif measuring and "CLOCK_PROCESS_CPUTIME_ID" not in line:
            seen[call[1]] += 1
    raise Failed("strace did not see the measured frames")
