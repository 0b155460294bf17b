#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""The benchmark itself: that wrong frames have no figures, that an interrupted run leaves
nothing but its values, and what tables and chart say. Nothing about speed.

    test_bench.py DIRECTORY-OF-PROGRAMS"""

import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
import xml.etree.ElementTree
from unittest import mock

import bench
import chart
import contestants
import figures as f
import processes
import report

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ""
CASE = "VGA I420, foreign memory, every byte read"


def outcome(results, reasons=None, failures=None):
    machine = {"processor": "one", "processors": 2, "virtual": False, "memory_gib": 1,
               "kernel": "6", "distribution": "some", "gstreamer": "GStreamer 1"}
    return {"machine": machine, "absent": {}, "results": results, "reasons": reasons or {},
            "failures": failures or {}}


def command_lines():
    lines = ""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            lines += file.read()
    return lines


class Dropping(contestants.Possum):
    """Is not as lossless as it should be."""

    def src(self, lossless, caps):
        return super().src(lossless, caps) + " ! identity drop-probability=0.5"


class Runs(unittest.TestCase):
    def measured(self, who):
        options = types.SimpleNamespace(programs=PROGRAMS, contestants=[who], saturated=0.05)
        figures = f.Figures(options, {}, {}, {})
        figures.saturated("VGA I420", True, True)
        return figures

    def test_figures_of_a_contestant(self):
        results = self.measured(contestants.Possum()).results
        self.assertGreater(results[f.RATE][CASE]["possum"][0], 0)
        writer, reader = (results[f.CPU_OF.format(side, "saturated")][CASE]["possum"][0]
                          for side in ("the writer", "the reader"))
        self.assertAlmostEqual(
            results[f.CPU.format("saturated")][CASE]["possum"][0], writer + reader)

    def test_the_least_that_two_pipelines_can_do(self):
        options = types.SimpleNamespace(programs=PROGRAMS, contestants=[], readers=6)
        figures = f.Figures(options, {}, {}, {})
        figures.readers(4, 1)
        row = figures.results[f.READERS_CPU]["4 readers, 1 stopped"]
        self.assertEqual(list(row), [report.LEAST])
        self.assertEqual(glob.glob("/dev/shm/bench-bell.*"), [])

    def test_missing_frames_have_no_figures(self):
        figures = self.measured(Dropping())
        self.assertNotIn(f.RATE, figures.results)
        self.assertIn("frames were missed", figures.reasons[f.RATE][CASE]["possum"])
        self.assertEqual(figures.failures[f.RATE][CASE]["possum"], 1)

    def test_terminated_run_keeps_its_values_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as output:
            run = subprocess.Popen(
                [sys.executable, f"{HERE}/bench.py", "--programs", PROGRAMS, "--output",
                 output, "--contestant", "possum", "--figures", "readers", "--add"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(contestants.remove_names, f"bench.{run.pid}.")
            self.addCleanup(run.wait)
            self.addCleanup(run.kill)
            names = f"/dev/shm/possum-c.bench.{run.pid}.*"
            deadline = time.monotonic() + 20
            while not glob.glob(names) and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertTrue(glob.glob(names))
            run.send_signal(signal.SIGTERM)
            self.assertEqual(run.wait(20), 128 + signal.SIGTERM)
            self.assertEqual(glob.glob(names), [])
            self.assertNotIn(f"channel=bench.{run.pid}.", command_lines())
            self.assertEqual(sorted(os.listdir(output)), ["bench.json", "bench.md"] + (
                [] if chart.MISSING else ["bench.svg"]))
            with open(f"{output}/bench.json", encoding="utf-8") as file:
                self.assertEqual(json.load(file)["results"], {})


class Sessions(unittest.TestCase):
    def test_a_signal_while_a_process_starts_leaves_it_to_nobody(self):
        real = subprocess.Popen

        def interrupted(*arguments, **more):
            process = real(*arguments, **more)
            self.addCleanup(process.kill)
            signal.raise_signal(signal.SIGTERM)
            return process

        handler = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(number))
        self.addCleanup(signal.signal, signal.SIGTERM, handler)
        with mock.patch("subprocess.Popen", interrupted), self.assertRaises(SystemExit):
            processes.started(["sleep", "60"])
        [process] = processes.sessions
        processes.end_sessions()
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.assertEqual(processes.sessions, [])


class SystemCalls(unittest.TestCase):
    def test_those_between_the_marks_count(self):
        log = ["7 read(0, 1) = 1\n", "7 getrusage(RUSAGE_SELF, {}) = 0\n",
               "7 clock_gettime(CLOCK_PROCESS_CPUTIME_ID, {}) = 0\n",
               "7 futex(0x1, FUTEX_WAIT <unfinished ...>\n", "8 poll(0) = 0\n",
               "7 <... futex resumed>) = 0\n", "7 getrusage(RUSAGE_SELF, {}) = 0\n",
               "7 write(1) = 1\n"]
        self.assertEqual(f.measured_calls(log), {"futex": 1, "poll": 1})

    def test_a_log_without_marks_is_no_figure(self):
        with self.assertRaises(f.Failed):
            f.measured_calls(["7 read(0, 1) = 1\n"])


class Shown(unittest.TestCase):
    def test_rounds_are_counted(self):
        for counts, words in (((1,), "one round"), ((3, 3), "medians of 3 rounds"),
                              ((2, 5), "medians of 2 to 5 rounds")):
            results = {"any": {str(i): {"possum": [1.0] * n} for i, n in enumerate(counts)}}
            self.assertEqual(report.rounds(outcome(results)), words)

    def test_what_is_possums_own_and_what_is_gstreamers(self):
        row = {"possum": [12.0], report.LEAST: [10.0], "bare semaphore": [4.0]}
        readers = {f"{n} readers": {who: [n * values[0]] for who, values in row.items()}
                   for n in (1, 4, 16)}
        lines = report.against_the_least(report.Outcome(outcome({
            f.LATENCY.format("p50"): {"VGA I420, pool, one core": row},
            f.READERS_CPU: readers})))
        self.assertEqual([line.split(" | ")[1:] for line in lines[2:]],
                         [["12.0", "10.0", "4.00", "1.20", "2.50 |"]] * 2)

    def test_a_failed_run_shows_beside_those_that_succeeded(self):
        text = "\n".join(report.tables(outcome(
            {"any": {"case": {"possum": [1, 3, 2]}}}, {"any": {"case": {"possum": "why"}}},
            {"any": {"case": {"possum": 2}}})))
        self.assertIn("2.00 (1.00-3.00) [1]", text)
        self.assertIn("[1] 2 more failed: why", text)

    @unittest.skipIf(chart.MISSING, chart.MISSING)
    def test_chart_takes_what_a_bad_run_may_give(self):
        for values in ([0.0], [0.0, 5.0]):
            row = {"possum": values, "shm": [0.0]}
            readers = {f"{n} readers": row for n in (1, 4)}
            picture = chart.document(outcome({
                f.LATENCY.format("p50"): {f"{chart.SIZE}, pool": row},
                f.RATE: {f"{size}, pool, 64 bytes read": row for size in f.SIZES},
                f.READERS_CPU: readers}))
            self.assertTrue(xml.etree.ElementTree.fromstring(picture).tag.endswith("svg"))

    def test_without_matplotlib_there_is_no_chart_and_no_old_one(self):
        with tempfile.TemporaryDirectory() as output, mock.patch("chart.MISSING", "why"):
            with open(f"{output}/bench.svg", "w", encoding="utf-8"):
                pass
            bench.write(types.SimpleNamespace(output=output), outcome({}))
            self.assertEqual(sorted(os.listdir(output)), ["bench.json", "bench.md"])


if __name__ == "__main__":
    PROGRAMS = sys.argv.pop(1)
    unittest.main(verbosity=2)
