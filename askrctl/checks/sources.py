# SPDX-License-Identifier: MIT
"""Where to read on, for checks whose own module names nothing: one place for odd ones out.

`kernel:` is a path below the kernel's Documentation, `man:` a manual page.
"""

_PARAMETERS = "kernel:admin-guide/kernel-parameters.rst"
_LSM = "kernel:admin-guide/LSM/index.rst"
_COUNTERS = "kernel:networking/snmp_counter.rst"
_KERNEL = "kernel:admin-guide/sysctl/kernel.rst"
_SETUP = "man:io_uring_setup(2)"

SOURCES: dict[str, tuple[str, ...]] = {
    "env.arch_abi": ("man:uname(2)",),
    "env.virt": ("man:systemd-detect-virt(1)",),
    "env.other_tuners": ("https://tuned-project.org/",),
    "env.reboot_required": ("https://www.debian.org/doc/debian-policy/ch-opersys.html",),
    "sec.lsm": (_LSM,),
    "sec.root": ("man:systemd.exec(5)",),
    "iouring.group": (_KERNEL,),
    "iouring.lsm": (_SETUP, _LSM),
    "iouring.fragmentation": ("man:proc(5)",),
    "iouring.sqpoll": (_SETUP,),
    "iouring.iowq": ("man:io_uring_register(2)",),
    "iouring.overflow": (_SETUP,),
    "net.syn_drops": (_COUNTERS,),
    "net.health": (_COUNTERS,),
    "net.conntrack": ("kernel:networking/nf_conntrack-sysctl.rst",),
    "port.available": ("man:bind(2)",),
    "dns.resolver": ("man:resolv.conf(5)",),
    "cpu.workers": ("man:sched_setaffinity(2)", "kernel:admin-guide/cgroup-v2.rst"),
    "cpu.isolated": (_PARAMETERS,),
    "cpu.smt": ("kernel:ABI/testing/sysfs-devices-system-cpu",),
    "cpu.numa": (_KERNEL,),
    "cpu.mitigations": ("kernel:admin-guide/hw-vuln/index.rst",),
    "cpu.crypto": ("man:proc(5)",),
    "cpu.autogroup": ("man:sched(7)",),
    "lim.file_max": ("kernel:admin-guide/sysctl/fs.rst",),
    "disk.writable": ("man:access(2)",),
    "disk.sched": ("kernel:block/switching-sched.rst",),
    "cfg.valid": ("askrctl/config/schema.py",),
    "cfg.backend": ("docs/bench.md",),
    "cfg.drift": ("docs/tune.md",),
    "folk.mitigations_off": (_PARAMETERS,),
    "folk.security_off": (_PARAMETERS, _LSM),
    "folk.isolcpus": (_PARAMETERS,),
    "folk.nofile_infinite": ("man:getrlimit(2)", "man:systemd.exec(5)"),
    "folk.entropy_daemon": ("man:random(7)",),
    "folk.nobarrier": ("man:ext4(5)",),
}
