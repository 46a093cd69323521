#!/usr/bin/python3
"""The stack of each request is the one that it was sent from, whichever stacks were taken before."""
import bisect
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import check, equal  # noqa: E402

suite = harness.Suite()


class Functions:
    """Names for offsets into a program."""

    def __init__(self, path):
        listed = subprocess.run([harness.need("nm"), "-n", path], stdout=subprocess.PIPE, check=True).stdout.decode()
        rows = [line.split() for line in listed.splitlines()]
        self.rows = [(int(row[0], 16), row[2]) for row in rows if len(row) == 3 and row[1] in "tT"]

    def of(self, offset):
        at = bisect.bisect(self.rows, (offset, "\xff")) - 1
        return self.rows[at][1] if at >= 0 else "?"


def requests(trace, path):
    """(way, names of the program's functions, innermost first) of each request in the journal."""
    text = subprocess.run([harness.HTTPLEAK, "dump", trace], stdout=subprocess.PIPE, check=True).stdout.decode("ascii")
    functions, modules, stacks, seen = Functions(path), {}, {}, []
    for line in text.splitlines():
        word, rest = line.split(" ", 1)
        fields = dict(re.findall(r'(\w+)=("[^"]*"|\S*)', rest))
        if word == "module":
            modules[fields["id"]] = fields["path"].strip('"')
        elif word == "stack":
            frames = [frame.split("+") for frame in fields["frames"].split(",")]
            # a return address may lie behind the function's last call
            stacks[fields["id"]] = [functions.of(int(offset, 16) - 1)
                                    for module, offset in frames if modules.get(module) == path]
        elif word == "event" and fields["type"] == "request":
            seen.append((fields["path"].strip('"')[1:], stacks[fields["stack"]]))
    return seen


@suite.test("requests by many ways of calls, in threads and signal handlers")
def ways(scratch):
    program = harness.program("stacks")
    result = scratch.preloaded([program], judge=False)
    equal("result", (result.status, result.errors), (0, ""))
    sent, handled = (int(n) for n in result.output.split())
    check(handled > 10, f"the handler ran {handled} times only")
    seen = requests(result.traces[0], program)
    equal("requests", len(seen), sent + handled)
    for way, names in seen:
        equal(f"the innermost function of {way!r}", names[0], "leaf")
        if way == "h":
            equal("the handler's", names[1], "h")
        else:
            equal("the way", "".join(name for name in reversed(names) if name in "abcde"), way)
            check("h" not in names, f"{way}: a handler in {names}")
    check(len({tuple(names) for way, names in seen if way != "h"}) > 500, "too few ways to tell anything")


if __name__ == "__main__":
    suite.main()
