#!/usr/bin/python3
"""Go's own tests of net/http pass under the preload as they pass without it (only when long tests are wanted)."""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import golang  # noqa: E402
import harness  # noqa: E402
from harness import check, equal  # noqa: E402

suite = harness.Suite()
RESULT = re.compile(rb"^--- (PASS|FAIL|SKIP): (\S+)", re.M)


def results(run):
    return {name.decode(): word.decode() for word, name in RESULT.findall(run.output)}


def own_tests(scratch, version):
    if not harness.LONG:
        raise harness.Skip("a long test")
    root = os.path.dirname(os.path.dirname(os.path.realpath(golang.need(version))))
    binary = os.path.join(golang.PLACE, version, "net-http.test")
    if not os.path.exists(binary):
        golang.go(
            version,
            ["test", "-c", "-o", binary, "net/http"],
            cwd=os.path.join(root, "src"),
            env={"GOFLAGS": "", "GO111MODULE": "on"},
        )
    where = scratch.path("http")
    shutil.copytree(os.path.join(root, "src", "net", "http"), where)
    argv = [binary, "-test.v", "-test.short", "-test.timeout=250s"]
    env = golang.settings() | {"GOROOT": root}
    bare = scratch.bare(argv, cwd=where, env=env, timeout=300)
    traced = scratch.preloaded(argv, cwd=where, env=env, timeout=300, judge=False)
    before, after = results(bare), results(traced)
    check(len(before) > 300, f"only {len(before)} tests: {bare.output[-500:]!r}")
    changed = {
        name: (before.get(name), after.get(name))
        for name in set(before) | set(after)
        if before.get(name) != after.get(name)
    }
    if changed:  # what is not certain without the preload is asked again, alone
        names = "|".join(f"^{re.escape(name)}$" for name in changed)
        again = scratch.preloaded(
            [*argv, f"-test.run={names}"], cwd=where, env=env, timeout=300, judge=False
        )
        still = {n: w for n, w in results(again).items() if w != before.get(n) and n in changed}
        equal("changed results", {n: changed[n] for n in still}, {})
    equal(
        "status",
        (bare.status != 0, traced.status != 0 and not changed),
        (bare.status != 0, bare.status != 0 and not changed),
    )
    check(traced.traces, "no trace")


for go_version in golang.ENDS:
    suite.test(f"net/http of Go {go_version}", go_version)(own_tests)
suite.main()
