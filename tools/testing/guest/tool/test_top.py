# SPDX-License-Identifier: GPL-2.0
"""`rfou top` on a pseudo-terminal, and its output in lines."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

from testing.lib.rfou_command import COPY, OK, USAGE, checked

pytestmark = pytest.mark.stock_only

# A control sequence: its parameters and its letter.
CONTROL = re.compile(rb"\x1b\[([0-9;?]*)([a-zA-Z])")
ROWS, COLUMNS = 24, 100


class Terminal:
    """A program on a pseudo-terminal, and its screen."""

    def __init__(self, rfou, *words):
        with rfou.host.inside():
            self.child, self.master = pty.fork()
            if self.child == 0:
                time.sleep(0.2)
                os.execv(COPY, [str(COPY), *words, *rfou.options])
        self.resize(ROWS, COLUMNS)
        self.raw = b""

    def resize(self, rows, columns):
        """Gives the terminal a size."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def read(self, seconds):
        """Reads what comes within a time."""
        if select.select([self.master], [], [], seconds)[0]:
            # EIO: the program has ended.
            with contextlib.suppress(OSError):
                self.raw += os.read(self.master, 1 << 16)

    def screen(self):
        """Returns the screen's text, made from all that was written."""
        cells = {}
        row = column = 1
        rest = self.raw
        while rest:
            if found := CONTROL.match(rest):
                rest = rest[found.end() :]
                if found[2] == b"H":
                    row, column = (int(number) for number in found[1].split(b";"))
                elif found[2] == b"J":
                    cells = {}
                continue
            # The titles are ASCII; a border is one character of three bytes.
            width = 3 if rest[0] >= 0xE0 else 1
            cells[row, column] = rest[:width].decode(errors="replace")
            rest = rest[width:]
            column += 1
        lines = (
            "".join(cells.get((row, column), " ") for column in range(1, COLUMNS + 1))
            for row in range(1, ROWS + 1)
        )
        return "\n".join(lines)

    def expect(self, text, timeout=15):
        """Waits until the screen has a text."""
        deadline = time.monotonic() + timeout
        while not re.search(text, self.screen(), re.DOTALL):
            assert time.monotonic() < deadline, f"no {text!r} in\n{self.screen()}"
            self.read(0.2)

    def press(self, keys):
        """Sends keys."""
        os.write(self.master, keys.encode())

    def wait(self):
        """Waits for the program's end; returns the exit status."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            self.read(0.1)
            ended, status = os.waitpid(self.child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        raise AssertionError("the program does not end")


@pytest.mark.parametrize("key", ["q", "\x1b", "\x03"])
def test_the_screen_comes_and_goes(rfou, key):
    rfou("port", "add", "5555", "--protocol", "ipip")
    terminal = Terminal(rfou, "top")
    terminal.expect("5555")
    terminal.press(key)
    assert terminal.wait() == OK
    assert b"\x1b[?1049l" in terminal.raw, "the terminal's own screen is back"
    assert b"\x1b[?25h" in terminal.raw, "the cursor is back"


def test_keys_sort_pause_and_select(rfou):
    for number in (5555, 5556):
        rfou("port", "add", number, "--protocol", "ipip")
    terminal = Terminal(rfou, "top", "--delay", "0.2")
    terminal.expect("2 rows by received packets.*NAME.*port 5555 ipv4 fou ipip.*5556")
    terminal.press("n")
    terminal.expect("by name")
    terminal.press("r")
    terminal.expect("reversed.*5556.*5555")
    terminal.press("\x1b[B")
    terminal.expect("drops per second.*port 5555")
    terminal.press(" ")
    terminal.expect("paused")
    rfou("port", "add", "5557", "--protocol", "ipip")
    terminal.read(1)
    assert "5557" not in terminal.screen(), "paused"
    terminal.press(" ")
    terminal.expect("3 rows.*5557")
    # A small terminal does not end the program.
    for size in ((2, 8), (1, 1), (ROWS, COLUMNS)):
        terminal.resize(*size)
        terminal.read(0.5)
    terminal.press("p")
    terminal.expect("by received packets.*5557")
    terminal.press("q")
    assert terminal.wait() == OK


def test_a_terminal_is_needed_for_the_screen(rfou):
    error = rfou.refused("link", "show", "nothing", status=4)
    assert "nothing" in error["message"]
    done = rfou("top", status=USAGE)
    assert "needs a terminal" in done.stderr and "--batch" in done.stderr
    rfou("top", "--delay", "0", status=USAGE)
    rfou("top", "--sort", "colour", status=USAGE)


def test_lines_are_printed_without_a_terminal(rfou):
    rfou("port", "add", "5555", "--protocol", "ipip")
    text = rfou("top", "--batch", "--count", "2", "--delay", "0.1").stdout
    assert text.count("NAME") == 2 and text.count("port 5555 ipv4 fou ipip") == 2
    lines = rfou("top", "--json", "-n", "2", "-d", "0.1").stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        [row] = checked(json.loads(line), "top")["rows"]
        assert row["name"] == "port 5555 ipv4 fou ipip"
        assert row["rx_packets"] == 0
