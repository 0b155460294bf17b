# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""write.py and read.py as a person runs them, and what the package's README shows."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from support import PATIENCE, Case

ROOT = Path(os.environ["POSSUM_SOURCE_ROOT"])
PROGRAMS = ROOT / "examples" / "python"
CPP = Path(os.environ["POSSUM_BUILD_ROOT"]) / "examples" / "opencv"
LINE = re.compile(
    r"frame (\d+), [\d.]+ ms old, (\d+) missed(?:, number (\d+) from drawn)?, ([\d.]+) bright"
)


@unittest.skipUnless(importlib.util.find_spec("cv2"), "OpenCV for Python is missing")
class Programs(Case):
    def start(self, name, channel, *arguments):
        command = [sys.executable, PROGRAMS / name, "--channel", channel, *arguments]
        environment = {k: v for k, v in os.environ.items() if "DISPLAY" not in k}
        return self.process(*command, stdout=subprocess.PIPE, env=environment)

    def lines(self, process, count):
        """The next lines about frames: seq, missed, number or None, brightness."""
        found = []
        while len(found) < count:
            line = process.stdout.readline()
            self.assertTrue(line, "it ended")
            match = LINE.fullmatch(line.strip())
            if match:
                found.append(match.groups())
        return found

    def check_counters(self, lines):
        """Each picture has its own, but for the first, whose may have been sent before the
        reader was there."""
        for seq, _, number, _ in lines:
            if number is not None or seq != lines[0][0]:
                self.assertEqual(int(seq), int(number) + 1)

    def test_either_first_either_killed(self):
        channel = self.channel()
        early = self.start("read.py", channel)
        self.expect_line(early, f"waiting for {channel}")
        writer = self.start("write.py", channel, "--fps", "100")
        late = self.start("read.py", channel, "--delay", "0.05")
        for reader in (early, late):
            self.check_counters(self.lines(reader, 6))
        self.stop(late, signal.SIGKILL, -signal.SIGKILL)
        last = 0
        while last < 50:
            last = int(self.lines(early, 1)[0][0])
        self.stop(writer, signal.SIGKILL, -signal.SIGKILL)
        again = self.start("write.py", channel, "--fps", "100")
        while (seq := int(self.lines(early, 1)[0][0])) >= last:
            last = seq  # still the first writer's
        self.check_counters(self.lines(early, 6))
        self.stop(again, signal.SIGTERM)
        self.stop(early)

    def test_an_end(self):
        channel = self.channel()
        reader = self.start("read.py", channel)
        self.expect_line(reader, f"waiting for {channel}")
        writer = self.start("write.py", channel, "--frames", "20", "--fps", "100")
        self.assertIn("written: 20", writer.communicate(timeout=PATIENCE)[0])
        self.assertIn("this was all", reader.communicate(timeout=PATIENCE)[0])

    def test_with_gstreamer(self):
        running = []
        for format in ("I420", "NV12"):
            channel = self.channel()
            element = self.launch(
                f"videotestsrc pattern=white is-live=true ! video/x-raw,format={format},"
                f"width=64,height=48,framerate=50/1 ! possumsink channel={channel}"
            )
            running.append((element, self.start("read.py", channel, "--frames", "2")))
        for element, reader in running:
            self.assertEqual(len(self.lines(reader, 2)), 2)
            self.expect_end(reader)
            self.stop(element)
        channel = self.channel()
        writer = self.start("write.py", channel)
        self.expect_end(
            self.launch(f"possumsrc channel={channel} num-buffers=3 ! videoconvert ! fakesink")
        )
        self.stop(writer)

    def test_the_colours_are_those_of_videoconvert(self):
        sys.path.insert(0, str(PROGRAMS))
        self.addCleanup(sys.path.remove, str(PROGRAMS))
        import read

        for format, size in [(f, (640, 480)) for f in read.TO_BGR] + [("I420", (641, 479))]:
            with self.subTest(format=format, size=size):
                channel, converted = self.channel(), self.channel()
                element = self.launch(
                    f"videotestsrc pattern=smpte75 is-live=true ! video/x-raw,format={format},"
                    f"width={size[0]},height={size[1]} ! tee name=t ! queue ! possumsink "
                    f"channel={channel} t. ! queue ! videoconvert ! video/x-raw,format=BGR ! "
                    f"possumsink channel={converted}"
                )
                picture = read.bgr_of(self.reader(channel).read(PATIENCE))
                right = self.reader(converted).read(PATIENCE)
                self.assertEqual(picture.shape, right.shape)
                for bar in range(7):
                    x = size[0] * (2 * bar + 1) // 14
                    for ours, theirs in zip(picture[20, x], right[20, x]):
                        # videoconvert rounds by up to 3; another range is 11 away
                        self.assertAlmostEqual(int(ours), int(theirs), delta=4)
                picture[:] = 0  # ours to draw on
                self.stop(element)

    @unittest.skipUnless((CPP / "possum-capture").exists(), "not built")
    def test_with_cpp(self):
        channel = self.channel()
        display = self.process(
            CPP / "possum-display", "--channel", channel, "--no-window", stdout=subprocess.PIPE
        )
        writer = self.start("write.py", channel, "--frames", "15", "--fps", "50")
        self.expect_end(writer)
        self.assertRegex(display.communicate(timeout=PATIENCE)[0], r"carried: [1-9]")
        capture = self.process(CPP / "possum-capture", "--channel", channel, "--test")
        reader = self.start("read.py", channel, "--frames", "2")
        self.assertEqual(len(self.lines(reader, 2)), 2)
        self.expect_end(reader)
        self.stop(capture, signal.SIGTERM)

    def test_bad_input(self):
        for arguments in (("--file", "/nowhere"), ("--size", "x")):
            command = [sys.executable, PROGRAMS / "write.py", *arguments]
            process = self.process(*command, stderr=subprocess.PIPE)
            said = process.communicate(timeout=PATIENCE)[1].strip()
            self.assertNotEqual(process.returncode, 0)
            self.assertNotIn("Traceback", said)
            self.assertRegex(said.split("\n")[-1], r"^\S*write\.py: ")


class Readme(Case):
    def test_what_it_shows(self):
        text = (ROOT / "gst/libpossum/python/README.md").read_text()
        programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        self.assertEqual(len(programs), 3)
        reading, writing, other = programs
        cam, names = self.channel(), {}
        for name in ("poses", "data"):
            names[name] = self.channel()
        reader = self.python(reading.replace('"cam"', f'"{cam}", policy="blocking"'))
        write = writing.replace('"cam"', f'"{cam}", allow_blocking=True')
        write = write.replace("    picture =", "    writer.wait_readers()\n    picture =")
        self.expect_end(self.python(write + "    writer.drain()\n"))
        self.assertEqual(reader.stdout.readline().split(") ")[0], "(480, 640, 3")
        self.assertIn("format=(string)BGR", reader.stdout.readline())
        self.expect_end(reader)
        for name, own in names.items():
            other = other.replace(f'"{name}"', f'"{own}"')
        process = self.python(other)
        self.expect_line(process, "1.0 b'left'")
        self.expect_end(process)


if __name__ == "__main__":
    unittest.main()
