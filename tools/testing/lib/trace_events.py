# SPDX-License-Identifier: GPL-2.0
"""Trace events of the system `rfou`, as tracefs shows them."""

import contextlib
import os
import pathlib
import re

TRACEFS = pathlib.Path("/sys/kernel/tracing")
SYSTEM = "rfou"
EVENTS = TRACEFS / "events" / SYSTEM
# A line of `trace_pipe`: task, CPU, flags and time, the event's name, and its fields.
LINE = re.compile(r"^.{16,}-\d+ +\[\d+\] \S+ +[\d.]+: (\w+): (.*)$")
LOST = re.compile(r"^CPU:\d+ \[LOST \d+ EVENTS\]$")


class Event:
    """An event: its name, and its fields."""

    def __init__(self, line):
        found = LINE.match(line)
        assert found, f"no event: {line}"
        self.name, fields = found.groups()
        self.fields = {}
        for word in fields.split():
            name, _, value = word.partition("=")
            self.fields[name] = int(value) if value.isdigit() else value

    def __repr__(self):
        return f"{self.name} {self.fields}"


def event_names():
    """Returns the names of the system's events."""
    return {path.name for path in EVENTS.iterdir() if path.is_dir()}


def field_names(event):
    """Returns the names of an event's own fields."""
    text = (EVENTS / event / "format").read_text(encoding="ascii")
    # After the fields that every event has.
    own = text.split("\n\n")[1]
    return {line.split(";")[0].split()[-1] for line in own.splitlines()}


class Trace:
    """A buffer of its own (a tracefs instance), in which no event is on at first."""

    def __init__(self, name="test"):
        self.folder = TRACEFS / "instances" / name
        self.folder.mkdir()
        self.pipe = os.open(self.folder / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK)

    def set(self, event, on):
        """Turns an event on or off; with `None`, all of the system."""
        path = self.folder / "events" / SYSTEM / (event or "") / "enable"
        path.write_text("1" if on else "0", encoding="ascii")

    @contextlib.contextmanager
    def on(self, event=None):
        """In this context, an event, or all of the system, is on."""
        self.set(event, True)
        try:
            yield self
        finally:
            self.set(event, False)

    def filter(self, event, expression):
        """Records only events for which the expression holds; "0" ends that."""
        path = self.folder / "events" / SYSTEM / event / "filter"
        path.write_text(expression, encoding="ascii")

    def read(self):
        """Returns the events that were recorded since the last call, the oldest first."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.pipe, 1 << 16):
                data += chunk
        lines = data.decode().splitlines()
        assert not any(LOST.match(line) for line in lines), "the buffer was too small"
        return [Event(line) for line in lines]

    def close(self):
        """Removes the buffer."""
        os.close(self.pipe)
        self.folder.rmdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
