"""A small machine with the distribution's own kernel, for what this machine's kernel may not have: .ci/aside brings an emulator, the
kernel and a shell; programs are copied from here with their libraries, each to the place where it is here, so that a trace that comes
out of it is read as any other."""
import glob
import gzip
import io
import os
import re
import subprocess
import tarfile

import harness
from harness import ROOT, Skip, check

LIBRARIES = "lib/x86_64-linux-gnu"
MODULES = ("net/tls", "crypto", "arch/x86/crypto", "lib/crypto")
# The output leaves by the second serial line, where a terminal would change it.
FIRST = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin /usr/sbin /var/log/nginx /var/lib/nginx /out
/bin/busybox --install -s /sbin
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev; mount -t tmpfs none /tmp
depmod
ifconfig lo 127.0.0.1
sh -c '. /commands' </dev/null
stty -F /dev/ttyS1 raw
tar -C /out -c . | gzip -1 >/dev/ttyS1
sleep 1
echo the end
poweroff -f
"""


def place():
    found = subprocess.run([os.path.join(ROOT, ".ci", "aside"), "path", "machine"], capture_output=True, text=True, check=False)
    if not found.stdout.strip():
        raise Skip("the machine of .ci/aside is not there")
    return found.stdout.strip()


class Machine:
    def __init__(self):
        self.place, self.files = place(), {}
        modules = glob.glob(f"{self.place}/lib/modules/*")[0]
        version = os.path.basename(modules)
        self.kernel = f"{self.place}/boot/vmlinuz-{version}"
        self.copy(f"{self.place}/bin/busybox", "/bin/busybox")
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            self.copy(f"{modules}/{name}", f"/lib/modules/{version}/{name}")
        for name in MODULES:
            self.tree(f"{modules}/kernel/{name}", f"/lib/modules/{version}/kernel/{name}")
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.write("/etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        self.write("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
        self.write("/init", FIRST, 0o755)

    def write(self, path, data, mode=0o644):
        self.files[path] = (0o100000 | mode, data.encode() if isinstance(data, str) else data)

    def copy(self, path, to=None):
        with open(path, "rb") as file:
            self.write(to or path, file.read(), os.stat(path).st_mode & 0o777)

    def tree(self, path, to=None):
        for folder, _, names in os.walk(path):
            for name in names:
                self.copy(os.path.join(folder, name), (to or path) + os.path.join(folder, name)[len(path):])

    def program(self, path):
        """With its libraries."""
        self.copy(path)
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            self.copy(library)

    def archive(self):
        """cpio, as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst)."""
        entries, folders = {}, set()
        for path in self.files:
            parts = path.strip("/").split("/")
            folders |= {"/".join(parts[:n]) for n in range(1, len(parts))}
        for folder in sorted(folders):
            entries[folder] = (0o40755, b"")
        entries |= {path.strip("/"): entry for path, entry in self.files.items()}
        entries["TRAILER!!!"] = (0, b"")
        out = bytearray()
        for number, (path, (mode, data)) in enumerate(entries.items()):
            name = path.encode() + b"\0"
            fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
            out += b"070701" + b"".join(b"%08x" % field for field in fields) + name
            out += b"\0" * (-len(out) % 4) + data
            out += b"\0" * (-len(out) % 4)
        return gzip.compress(bytes(out), 1)

    def run(self, commands, folder, seconds):
        """Boots, runs the shell's commands; what they left in /out is in the folder afterwards."""
        self.write("/commands", commands)
        image, out = os.path.join(folder, "initrd"), os.path.join(folder, "out.tar.gz")
        with open(image, "wb") as file:
            file.write(self.archive())
        path = ":".join(f"{self.place}/{prefix}{LIBRARIES}" for prefix in ("usr/", ""))
        done = subprocess.run(
            ["timeout", "--kill-after=5", str(seconds), f"{self.place}/usr/bin/qemu-system-x86_64"]
            + ["-L", f"{self.place}/usr/share/qemu", "-L", f"{self.place}/usr/share/seabios", "-accel", "tcg", "-cpu", "max", "-m", "512"]
            + ["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-serial", f"file:{out}", "-kernel", self.kernel]
            + ["-initrd", image, "-append", "console=ttyS0 quiet panic=-1 mitigations=off"],
            env=harness.environment({"LD_LIBRARY_PATH": path}), stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        check(done.returncode == 0 and "the end" in said, lambda: f"the machine: status {done.returncode}, {said[-1500:]}")
        with open(out, "rb") as file, tarfile.open(fileobj=io.BytesIO(file.read())) as archive:
            archive.extractall(folder)
        return said
