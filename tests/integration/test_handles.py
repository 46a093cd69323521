#!/usr/bin/python3
"""Client handles: libcurl's and OpenSSL's, leaked and well kept, at the end and while the program runs."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SMALL, HUGE = "/bytes/64", "/bytes/4000000"


def handles(scheme, mode, count, path=SMALL, program="handles", seconds=None):
    argv = [harness.program(program), origin.url(scheme, path), mode, str(count)]
    return argv + ([str(seconds)] if seconds else [])


def leaked(report, what, count, severity="error", caused=False):
    """The one handle-leak finding above note."""
    found = findings(report, "handle-leak", above_note=True)
    check(
        [(f["severity"], f["count"], bool(f["caused_by"])) for f in found]
        == [(severity, count, caused)],
        lambda: f"one {severity} handle-leak of {count} expected\n{brief(report)}",
    )
    check(what in found[0]["message"], lambda: f"{what!r} expected in {found[0]['message']!r}")
    return found[0]


def only_handles(report):
    check(
        {f["rule"] for f in findings(report, above_note=True) if not f["caused_by"]}
        == {"handle-leak"},
        lambda: f"only handle-leak expected\n{brief(report)}",
    )


def leak(scratch, scheme, mode, count, what, line, program="handles"):
    result = scratch.preloaded(handles(scheme, mode, count, program=program))
    equal("status", result.status, 0)
    finding = leaked(result.report, what, count)
    if "share" not in mode:
        equal("host", (finding["host"], finding["port"]), ("localhost", origin.ports[scheme]))
    source = program + ".c"
    check(
        (source, harness.line_of(source, line)) in harness.user_lines(finding),
        lambda: f"no line {line!r} in {harness.user_lines(finding)}",
    )
    only_handles(result.report)
    harness.replays(result.traces)


def clean(scratch, scheme, mode, count, notes, program="handles", path=SMALL):
    result = scratch.preloaded(handles(scheme, mode, count, path, program))
    equal("status", result.status, 0)
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    equal("notes", sum(f["count"] for f in findings(result.report, "handle-leak")), notes)
    harness.replays(result.traces)


for tls in ("http", "https"):
    for mode, what, line in (
        ("leak-easy", "5 libcurl easy handles", "perform(easy_for(url)); /* leak-easy */"),
        ("leak-copies", "5 libcurl easy handles", "perform(curl_easy_duphandle(pattern));"),
        ("leak-threads", "5 libcurl easy handles", "perform(easy_for(url)); /* its own */"),
        ("leak-multi", "5 libcurl multi handles", "CURLM *multi = curl_multi_init(); /* one */"),
        ("leak-share", "5 libcurl share handles", "CURLSH *share = curl_share_init();"),
    ):
        suite.test(f"{mode} ({tls})", tls, mode, 5, what, line)(leak)
    for mode, count, notes in (
        ("clean-easy", 5, 0),
        ("keep-one", 5, 1),
        ("keep-pool", 12, 4),
        ("keep-cache", 12, 4),
        ("keep-threads", 4, 4),
        ("clean-multi", 5, 0),
        ("clean-share", 5, 0),
        ("keep-shares", 8, 4),
    ):
        suite.test(f"{mode} ({tls})", tls, mode, count, notes)(clean)

suite.test("pause-and-resume", "http", "pause-and-resume", 1, 0, "handles", "/bytes/100000")(clean)
for mode in ("leak", "leak-reference"):
    suite.test(
        f"SSL objects: {mode}", "https", mode, 5, "5 SSL objects", "SSL_new(context)", "handles_ssl"
    )(leak)
for mode in ("clean", "referred", "reuse", "bio"):
    suite.test(f"SSL objects: {mode}", "https", mode, 5, 0, "handles_ssl")(clean)


@suite.test("a multi handle left in the middle of its transfers")
def abandoned(scratch):
    result = scratch.preloaded(handles("http", "abandon-multi", 3, HUGE), "--grace", "0.5")
    leaked(result.report, "1 libcurl multi handle was left with transfers", 1, caused=True)


@suite.test("transfers paused for ever")
def paused(scratch):
    result = scratch.preloaded(handles("http", "pause-for-ever", 3, HUGE), "--grace", "0.1")
    equal("unclosed", harness.count(result.report, "unclosed-body"), 3)
    leaked(result.report, "3 transfers from localhost", 3, "warning", caused=True)


def judged_alive(scratch, argv, done, *options, **more):
    """The report of a program that sleeps after it has printed `done`."""
    process, traces = scratch.start(argv, stdout=open(scratch.path("out"), "w+"), **more)
    try:
        harness.wait_until(lambda: done in open(scratch.path("out")).read(), "the program is done")
        files = harness.trace_files(traces)
        check(files, "no trace")

        def old_enough():
            report = harness.report(files, *options)
            return report if findings(report, "handle-leak") else None

        harness.wait_until(old_enough, "the finding", 10)
        return harness.report(files, *options)
    finally:
        harness.end(process)


@suite.test("leaked handles of a program that runs on")
def running(scratch):
    report = judged_alive(
        scratch, handles("http", "leak-easy", 5, seconds=harness.ASLEEP), "done", "--grace", "0.3"
    )
    leaked(report, "libcurl easy handles", 5)
    equal("end", report["processes"][0]["end"], "running")


@suite.test("a Ruby program whose SSL objects wait for the garbage collector")
def ruby(scratch):
    script = scratch.write(
        "churn.rb",
        """require "net/http"; require "openssl"
        uri = URI(ARGV[0])
        12.times do
          http = Net::HTTP.new(uri.host, uri.port)
          http.use_ssl = true
          http.verify_mode = OpenSSL::SSL::VERIFY_NONE
          http.start { |one| one.get(uri.path) }
        end
        STDOUT.write "done"; STDOUT.flush; sleep 600""",
    )
    process, traces = scratch.start(
        [harness.need("ruby"), script, origin.url("https", SMALL)],
        stdout=open(scratch.path("out"), "w+"),
    )
    try:
        harness.wait_until(lambda: "done" in open(scratch.path("out")).read(), "it is done")
        report = harness.report(harness.trace_files(traces), "--grace", "0")
        harness.no_alarm(report)
        equal("closed", report["totals"]["connections"]["closed"], 12)
    finally:
        harness.end(process)


@suite.test("a PHP program that keeps its curl handles")
def php(scratch):
    binary = harness.need("php")
    script = scratch.write(
        "keep.php",
        f"""<?php $kept = [];
        for ($i = 0; $i < 5; $i++) {{
            $kept[$i] = curl_init("{origin.url('http', SMALL)}");
            curl_setopt($kept[$i], CURLOPT_RETURNTRANSFER, true);
            curl_exec($kept[$i]);
        }}
        echo "done"; flush(); sleep({harness.ASLEEP});""",
    )
    modules = subprocess.run([binary, "-m"], capture_output=True, text=True, check=True).stdout
    if "curl" not in modules.split():
        raise harness.Skip("php-curl is not installed")
    report = judged_alive(scratch, [binary, script], "done", "--grace", "0.3")
    leaked(report, "libcurl easy handles", 5)


suite.main()
