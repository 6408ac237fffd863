# SPDX-License-Identifier: GPL-2.0
"""Compare the observations of two modules: compare FOU RFOU REPORT

FOU and RFOU are files of observe.py. Writes REPORT in Markdown: the number of inputs of each kind,
how many had the same result, the intended differences, and each other difference. Prints a line for
each kind, "ok" or "not ok". Fails if there is another difference, or if a kind of input did not
have its effect. Also breaks observations on purpose, and fails if a broken one passes as an
intended difference, because a predicate must accept only its own difference.
"""

import collections
import json
import pathlib
import re
import string
import sys

from testing.differential.intended import DIFFERENCES

SHOWN = 20
# Among fewer valid random packets, perhaps none has a protocol that its port accepts.
ENOUGH = 50
GUEST_TESTS = pathlib.Path(__file__).parents[1] / "guest"


def intended(part, name, was, now):
    """Returns the intended difference of two observations, or None."""
    return next(
        (each for each in DIFFERENCES if each.part == part and each.holds(name, was, now)), None
    )


def group_of(part, name):
    """Returns the group in which an input counts."""
    if part == "receive":
        return f"receive: {name}"
    kind, encap = name.split(", ")[:2]
    joint = " over " if part == "transmit" else ", "
    return f"{part}: {kind}{joint}{encap}"


def has_effect(part, seen):
    """Returns whether an input had an effect: a packet seen, a frame sent, a request granted."""
    if part == "receive":
        return len(seen) > 1
    if part == "transmit":
        return any(line.count(": ") == 2 for line in seen)
    return any(re.match("(add|request): done|.*: because", line) for line in seen)


def changed(seen):
    """Returns an observation with another last character."""
    last = seen[-1]
    digit = last[-1:] or "0"
    other = f"{int(digit, 16) ^ 1:x}" if digit in string.hexdigits else "x"
    return [*seen[:-1], last[:-1] + other]


def broken_pairs(part, was, now):
    """Yields pairs made from a real pair, which no intended difference may explain.

    Breaks rfou's observation of a receive pair, or of any pair without a difference: empties the
    observation, cuts the last line, or changes that line. Also changes the last line of Linux's
    observation of a receive pair that differs.
    """
    kept = 1 if part == "receive" else 0
    if (was == now or part == "receive") and len(now) > kept:
        yield was, now[:kept]
        yield was, now[:-1]
        yield was, changed(now)
    if was != now and part == "receive" and len(was) > kept:
        yield changed(was), now


def try_strictness(fou, rfou):
    """Breaks observations; returns how many, and those that pass as intended."""
    tried, passed = 0, []
    for (part, name, was), (_, _, now) in zip(fou, rfou, strict=True):
        for old, new in broken_pairs(part, was, now):
            if old != new:
                tried += 1
                if why := intended(part, name, old, new):
                    passed.append((why.what, name, old, new))
    return tried, passed


def effect_missed(group, effects, total):
    """Returns a message if too few or too many of a group's inputs had an effect, else None.

    Without this check, two modules that do nothing would pass.
    """
    part, _, kind = group.partition(": ")
    kind = kind.rpartition(": ")[2]
    if kind == "whole" or part == "transmit":
        least, most = total, total
    elif kind == "outer checksum wrong":
        least, most = 0, 0
    elif part == "netlink" or (kind == "valid" and total >= ENOUGH):
        least, most = 1, total
    else:
        return None
    return None if least <= effects <= most else f"{effects} of {total} had an effect"


def read(path):
    """Returns the observations in a file of observe.py."""
    with open(path, encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


def intended_differences(found):
    """Returns the table of intended differences."""
    tests = "".join(path.read_text(encoding="utf-8") for path in GUEST_TESTS.rglob("test_*.py"))
    rows = [
        "Intended differences from Linux's fou. The tests are in tools/testing/guest.",
        "",
        "| Linux's fou | inputs here | shown by |",
        "|---|---:|---|",
    ]
    for each in DIFFERENCES:
        for test in each.tests:
            if f"def {test}(" not in tests:
                sys.exit(f"compare: there is no test {test}")
        number = found[each.what] if each.part else ""
        shown_by = ", ".join(f"`{test}`" for test in each.tests)
        rows.append(f"| {each.what} | {number} | {shown_by} |")
    return rows


def main():
    """Compares two files; writes the report; returns the exit status."""
    fou, rfou = read(sys.argv[1]), read(sys.argv[2])
    totals, same, meant = collections.Counter(), collections.Counter(), collections.Counter()
    effects, found = collections.Counter(), collections.Counter()
    differences = []
    if not fou or [line[:2] for line in fou] != [line[:2] for line in rfou]:
        sys.exit("compare: the two files do not have the same inputs")
    for (part, name, was), (_, _, now) in zip(fou, rfou, strict=True):
        group = group_of(part, name)
        totals[group] += 1
        effects[group] += has_effect(part, was) and has_effect(part, now)
        if was == now:
            same[group] += 1
        elif why := intended(part, name, was, now):
            meant[group] += 1
            found[why.what] += 1
        else:
            differences.append((group, name, was, now))
    missed = {group: effect_missed(group, effects[group], totals[group]) for group in totals}
    missed = {group: what for group, what in missed.items() if what}
    tried, passed = try_strictness(fou, rfou)
    report = ["# Linux's fou and rfou side by side", ""]
    report += [
        "| inputs | number | the same | intended to differ | other |",
        "|---|---:|---:|---:|---:|",
    ]
    for group in sorted(totals):
        rest = totals[group] - same[group] - meant[group]
        report.append(f"| {group} | {totals[group]} | {same[group]} | {meant[group]} | {rest} |")
    summary = f"{len(fou)} inputs: {sum(same.values())} the same, {sum(meant.values())} intended"
    summary += f" to differ, {len(differences)} differences."
    report += ["", summary, "", "## Intended differences", "", *intended_differences(found), ""]
    for group, what in sorted(missed.items()):
        report += [f"## {group}", "", f"{what}.", ""]
    if passed:
        report += ["## Broken on purpose, and passed as intended", ""]
        report += [f"{len(passed)} of {tried}, such as {passed[0]}.", ""]
    for group, name, was, now in differences[:SHOWN]:
        report += [f"## {group}", "", name, ""]
        report += [f"- fou: `{line}`" for line in was if line not in now or len(was) != len(now)]
        report += [f"- rfou: `{line}`" for line in now if line not in was or len(was) != len(now)]
        report.append("")
    pathlib.Path(sys.argv[3]).write_text("\n".join(report) + "\n", encoding="utf-8")
    for group in sorted(totals):
        good = same[group] + meant[group] == totals[group] and group not in missed
        line = f"{'ok' if good else 'not ok'} {group}: {same[group]} of {totals[group]} the same"
        line += f", {meant[group]} intended to differ" if meant[group] else ""
        print(line + (f"; {missed[group]}" if group in missed else ""))
    strictness = f"{len(passed)} of {tried} observations broken on purpose passed as intended"
    print(f"{'not ok' if passed else 'ok'} strictness: {strictness}")
    print(summary)
    return 1 if differences or missed or passed else 0


if __name__ == "__main__":
    sys.exit(main())
