#!/usr/bin/python3
"""The recorder as a library: what it needs, exports and calls, and that it loads where there is no glibc."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
LIBRARY = os.path.join(BUILD, "libhttpleak.so")
RESULTS = []


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def test(name):
    def register(function):
        RESULTS.append((name, function))
        return function
    return register


class Skip(Exception):
    pass


def expect_empty(found, what):
    if found:
        raise AssertionError(f"{what}: {', '.join(sorted(found))}")


def interposed_names():
    """names.def as the compiler sees it, so a conditional entry counts only where it is compiled."""
    with open(os.path.join(ROOT, "preload/interpose/names.def"), encoding="utf-8") as table:
        text = "#define NAME(symbol, ...) @@ symbol;\n" + table.read()
    expanded = output(os.environ.get("CC", "gcc").split()[0], "-E", "-P", "-std=c17", "-x", "c",
                      f"-I{ROOT}/include", f"-I{ROOT}/preload", "-", input=text)
    return set(re.findall(r"@@ (\w+);", expanded))


def api_names():
    path = os.path.join(ROOT, "preload/interpose/exports.map")
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as exports:
        return set(re.findall(r"\bhttpleak_[a-z0-9_]+", re.sub(r"#.*|/\*.*?\*/", "", exports.read())))


def symbols(path, *options):
    """(file, kind, name) of each symbol, versions cut off."""
    found = []
    for line in output("nm", "-A", *options, path).splitlines():
        fields = line.split()
        if len(fields) >= 3:
            found.append((fields[0].rstrip(":"), fields[-2], fields[-1].split("@")[0]))
    return found


def linked_members():
    """What the linker took: our own objects, and the members of archives (the private libunwind)."""
    with open(os.path.join(BUILD, "obj", "libhttpleak.map"), encoding="utf-8") as linker_map:
        text = linker_map.read()
    objects = set(re.findall(r"^LOAD (\S+\.o)$", text, re.M))
    members = set(re.findall(r"^(\S+\.a)\(([^)]+)\)", text, re.M))
    return objects, members


@test("needs libc.so.6 and nothing else")
def needed():
    names = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-dW", LIBRARY))
    assert names == ["libc.so.6"], names


@test("exports the table of names and the annotations, nothing else")
def exported():
    found = {name for _, kind, name in symbols(LIBRARY, "-D", "--defined-only") if kind not in "Aa"}
    wanted = interposed_names() | api_names()
    assert len(wanted) > 50, f"only {len(wanted)} names in the table"
    expect_empty(wanted - found, "in the table, but not exported")
    expect_empty(found - wanted, "exported, but not in the table")


@test("no object of the recorder calls an interposed name")
def own_calls():
    wanted = interposed_names()
    objects, _ = linked_members()
    own = [path for path in objects if "/preload/" in path and os.path.exists(os.path.join(ROOT, path))]
    assert own, "the linker's map names no object of ours"
    calls = {f"{os.path.basename(path)} -> {name}" for path in own
             for _, kind, name in symbols(os.path.join(ROOT, path)) if kind in "Uw" and name in wanted}
    expect_empty(calls, "calls")


@test("no member taken from an archive calls an interposed name")
def archive_calls():
    wanted = interposed_names()
    _, members = linked_members()
    calls = set()
    for archive in {archive for archive, _ in members}:
        taken = {member for name, member in members if name == archive}
        for place, kind, name in symbols(archive):
            if kind in "Uw" and name in wanted and place.rsplit(":", 1)[-1] in taken:
                calls.add(f"{place.rsplit(':', 1)[-1]} -> {name}")
    expect_empty(calls, "calls")


@test("no relocation binds the recorder's own calls to an interposed name")
def relocations():
    wanted = interposed_names()
    bound = {match.split("@")[0] for match in re.findall(r"R_\S+\s+\S+\s+([\w@.]+)", output("readelf", "-rW", LIBRARY))}
    expect_empty(bound & wanted, "bound")


@test("calls nothing of glibc's hardening, which other C libraries have not")
def portable_imports():
    imported = {name for _, kind, name in symbols(LIBRARY, "-D", "--undefined-only") if kind == "U"}
    expect_empty({name for name in imported if re.search(r"_chk$|^__isoc|^__stack_chk|^_dl_", name)}, "imports")


@test("never allocates with the program's malloc")
def no_malloc():
    imported = {name for _, _, name in symbols(LIBRARY, "-D", "--undefined-only")}
    own = {"malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc", "strdup", "asprintf"}
    if any(os.path.basename(archive) == "libgcc_eh.a" for archive, _ in linked_members()[1]):
        raise Skip("the fallback unwinder names malloc for registered frames, which nothing here registers")
    expect_empty(imported & own, "imports")


@test("has no text relocations, no executable stack, and binds at once")
def hardened():
    dynamic = output("readelf", "-dW", LIBRARY)
    assert "TEXTREL" not in dynamic
    assert re.search(r"FLAGS.*\bNOW\b", dynamic), "lazy binding"
    stack = re.search(r"GNU_STACK.*", output("readelf", "-lW", LIBRARY))[0]
    assert " RWE " not in stack, stack


@test("its thread-locals are initial-exec and small")
def thread_locals():
    imported = {name for _, _, name in symbols(LIBRARY, "-D", "--undefined-only")}
    assert "__tls_get_addr" not in imported
    segment = re.search(r"^\s+TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(0x[0-9a-f]+)", output("readelf", "-lW", LIBRARY), re.M)
    assert segment is None or int(segment[1], 16) <= 1024, f"{segment[1]} bytes of static TLS"


@test("what runs inside a Go program calls nothing else, has no thread-local and touches no vector register")
def inside():
    path = os.path.join(BUILD, "obj/inside.o")
    missing = {name for _, kind, name in symbols(path, "--undefined-only") if kind != "w"}
    expect_empty(missing - {"_GLOBAL_OFFSET_TABLE_"}, "calls")
    sections = output("readelf", "-SW", path)
    assert not re.search(r"\.(tbss|tdata)\b", sections), "thread-local storage"
    vectors = re.findall(r"^.*%[xyz]mm\d+.*$|^.*%fs:.*$", output("objdump", "-d", "--no-show-raw-insn", path), re.M)
    assert not vectors, vectors[:5]


@test("a musl program runs under it")
def musl():
    if not shutil.which("musl-gcc"):
        raise Skip("musl-gcc is not installed (musl-tools)")
    with tempfile.TemporaryDirectory() as directory:
        source, program = os.path.join(directory, "hello.c"), os.path.join(directory, "hello")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n")
        subprocess.run(["musl-gcc", "-o", program, source], check=True)
        run = subprocess.run([program], env={**os.environ, "LD_PRELOAD": LIBRARY}, capture_output=True, text=True,
                             cwd=directory, check=False)
        assert (run.returncode, run.stdout, run.stderr) == (0, "hello\n", ""), run
        expect_empty(set(os.listdir(directory)) - {"hello.c", "hello"}, "left behind")


@test("a program without any client connection leaves no file and sees nothing")
def quiet():
    with tempfile.TemporaryDirectory() as directory:
        run = subprocess.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True, text=True,
                             env={**os.environ, "LD_PRELOAD": LIBRARY}, cwd=directory, check=False)
        assert (run.returncode, run.stdout, run.stderr) == (3, "out\n", "err\n"), run
        expect_empty(set(os.listdir(directory)), "left behind")


IMAGE = os.path.join(BUILD, "obj", "alone.so")


@test("the image for static programs needs nobody, and has no thread-locals, no vector registers, no writable code")
def alone():
    undefined = {name for _, kind, name in symbols(IMAGE) if kind in "Uw"}
    expect_empty(undefined, "undefined")
    sections = output("readelf", "-SlrdW", IMAGE)
    assert not re.search(r"\bTLS\b", sections.replace("T (TLS)", "")), "thread-locals"
    expect_empty(set(re.findall(r"R_X86_64_(?!RELATIVE)\w+", sections)), "relocations")
    assert "NEEDED" not in sections and "RWE" not in sections, sections
    code = output("objdump", "-d", "--no-show-raw-insn", IMAGE)
    expect_empty(set(re.findall(r"%[xyz]mm\d+|%mm\d|%st\b|%fs:", code)), "registers")
    assert "syscall" in code, "objdump showed no code"


def main():
    failed = 0
    print(f"1..{len(RESULTS)}")
    for number, (name, function) in enumerate(RESULTS, 1):
        try:
            function()
            print(f"ok {number} - {name}")
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}")
        except (AssertionError, OSError, subprocess.CalledProcessError, TypeError) as error:
            failed += 1
            print(f"not ok {number} - {name}")
            print("\n".join(f"# {line}" for line in (str(error) or type(error).__name__).splitlines()))
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
