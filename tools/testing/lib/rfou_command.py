# SPDX-License-Identifier: GPL-2.0
"""The command `rfou` as built by scripts/build/tool, and its JSON against the schema."""

import json
import pathlib
import subprocess

from testing.lib import json_schema
from testing.lib.checkout import TOP
from testing.lib.hosts import run

RFOU = TOP / "build/rfou/rfou"
# In the guest's memory.
COPY = pathlib.Path("/tmp/rfou")
SCHEMA = TOP / "Documentation/rfou-command.schema.json"

# Exit statuses.
OK, FAILED, USAGE, PERMISSION, NOT_FOUND, IN_USE, UNSUPPORTED, WOULD_CHANGE = range(8)


def checked(value, output):
    """Checks a value against the schema of an output; returns the value."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    faults = json_schema.errors(value, schema["$defs"]["outputs"][output], schema)
    assert not faults, f"{output}: {faults}"
    return value


class Command:
    """Runs the command in a host, with a given netlink family or the one that it chooses."""

    def __init__(self, host, family=None):
        self.host = host
        self.options = ["--family", family] if family else []

    def __call__(self, *words, status=OK, stdin=None):
        """Runs the command; fails if it exits with another status, if any; returns the process."""
        with self.host.inside():
            done = run(COPY, *words, *self.options, check=False, stdin=stdin)
        assert status is None or done.returncode == status, (
            f"rfou {' '.join(map(str, words))}: status {done.returncode}, not {status}\n"
            f"{done.stdout}{done.stderr}"
        )
        return done

    def json(self, output, *words, status=OK, stdin=None):
        """Runs the command with --json; returns what it printed, checked as an output."""
        done = self(*words, "--json", status=status, stdin=stdin)
        return checked(json.loads(done.stdout), output)

    def refused(self, *words, status, stdin=None):
        """Runs the command, which must fail; returns the error, checked, from standard error."""
        done = self(*words, "--json", status=status, stdin=stdin)
        assert done.stdout == "", "an error is on standard error only"
        return checked(json.loads(done.stderr), "error")["error"]

    def by_another_user(self, *words, stdin=""):
        """Runs the command as a user without any capability; returns the process."""
        with self.host.inside():
            return subprocess.run(
                [str(word) for word in (COPY, *words, *self.options)],
                capture_output=True,
                text=True,
                input=stdin,
                check=False,
                user=65534,
                group=65534,
                extra_groups=[],
            )

    def ports(self):
        """Returns the ports as `rfou port show` lists them."""
        return self.json("port show", "port", "show")["ports"]

    def start(self, *words, **options):
        """Starts the command in the host."""
        return self.host.start(COPY, *words, *self.options, **options)
