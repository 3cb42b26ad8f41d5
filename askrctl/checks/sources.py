# SPDX-License-Identifier: MIT
"""Where each claim of a check can be read: one table, so that all of it can be audited at once.

`kernel:` is a path below the kernel's Documentation, as of Linux 6.12 unless a line says more;
`linux:` a file of the kernel's source, where only that decides; `man:` a manual page (those of
io_uring come with liburing). After the comma stands what to look for in it. A path of this
repository is a fact of this server, or a figure that was measured with it.
"""

_IP = "kernel:networking/ip-sysctl.rst"
_NET = "kernel:admin-guide/sysctl/net.rst"
_VM = "kernel:admin-guide/sysctl/vm.rst"
_FS = "kernel:admin-guide/sysctl/fs.rst"
_KERNEL = "kernel:admin-guide/sysctl/kernel.rst"
_PARAMETERS = "kernel:admin-guide/kernel-parameters.txt"
_CGROUP = "kernel:admin-guide/cgroup-v2.rst"
_COUNTERS = "kernel:networking/snmp_counter.rst"
_SCALING = "kernel:networking/scaling.rst"
_SYSFS_CPU = "kernel:ABI/testing/sysfs-devices-system-cpu"
_SETUP = "man:io_uring_setup(2)"
_EXEC = "man:systemd.exec(5)"
_INI = "https://www.php.net/manual/en/"
_CORE = f"{_INI}ini.core.php"
_OPCACHE = f"{_INI}opcache.configuration.php"
_APPLE = "https://support.apple.com/103769"

_ENVIRONMENT = {
    "env.kernel": ("man:uname(2), release",),
    "env.distro": ("man:os-release(5)", "Debian's package distro-info-data"),
    "env.arch_abi": ("man:uname(2), machine", "man:syscalls(2)"),
    "env.init": ("man:sd_booted(3)",),
    "env.virt": ("man:systemd-detect-virt(1)",),
    "env.container": ("man:namespaces(7)", "man:user_namespaces(7), uid_map"),
    "env.sandbox": ("https://gvisor.dev/docs/user_guide/compatibility/",),
    "env.other_tuners": ("man:tuned-adm(8)", "https://github.com/oracle/bpftune"),
    "env.reboot_required": (
        "https://www.debian.org/doc/debian-policy/ch-opersys.html, signaling that a reboot is"
        " required",
    ),
    "sec.caps": ("man:capabilities(7)", "man:user_namespaces(7), Capabilities"),
    "sec.seccomp": ("man:seccomp(2)", "man:proc(5), Seccomp"),
    "sec.lsm": ("kernel:admin-guide/LSM/index.rst",),
    "sec.root": (f"{_EXEC}, User=",),
    "sec.entropy": ("man:getrandom(2), GRND_NONBLOCK", "linux:drivers/char/random.c"),
    "sec.core_dumps": ("man:core(5)",),
}

_RINGS = {
    "iouring.setup": (f"{_SETUP}, ERRORS",),
    "iouring.sysctl": (f"{_KERNEL}, io_uring_disabled",),
    "iouring.group": (f"{_KERNEL}, io_uring_group",),
    "iouring.seccomp": (
        "man:seccomp(2)",
        "https://github.com/moby/moby/pull/46762",
        "https://github.com/containerd/containerd/pull/9320",
        "https://github.com/containers/common/pull/1264",
    ),
    "iouring.lsm": ("linux:io_uring/io_uring.c, security_uring_allowed", f"{_SETUP}, ERRORS"),
    "iouring.memlock": (
        "linux:io_uring/memmap.c, io_create_region",
        "https://github.com/axboe/liburing/issues/1408",
        "man:getrlimit(2), RLIMIT_MEMLOCK",
    ),
    "iouring.fragmentation": (
        "man:proc(5), buddyinfo",
        f"{_CGROUP}, memory.events",
        "https://github.com/axboe/liburing/issues/1614",
    ),
    "iouring.core": ("man:io_uring_enter(2)",),
    "iouring.accept_multishot": (
        "man:io_uring_prep_multishot_accept(3)",
        "docs/decisions/0005-shared-listener-poll-accept.md",
    ),
    "iouring.recv_multishot": ("man:io_uring_prep_recv_multishot(3)", "man:io_uring_multishot(7)"),
    "iouring.pbuf_ring": ("man:io_uring_setup_buf_ring(3)",),
    "iouring.pbuf_inc": ("man:io_uring_provided_buffers(7), IOU_PBUF_RING_INC",),
    "iouring.bundle": (
        "man:io_uring_prep_recv(3), IORING_RECVSEND_BUNDLE",
        "man:io_uring_prep_send(3)",
    ),
    "iouring.send_zc": ("man:io_uring_prep_send_zc(3)",),
    "iouring.direct_fds": (
        "man:io_uring_register_files_sparse(3)",
        "man:io_uring_prep_fixed_fd_install(3)",
    ),
    "iouring.defer_taskrun": (f"{_SETUP}, IORING_SETUP_DEFER_TASKRUN",),
    "iouring.no_sqarray": (f"{_SETUP}, IORING_SETUP_NO_SQARRAY",),
    "iouring.reg_wait": (
        "man:io_uring_enter(2), IORING_ENTER_EXT_ARG_REG",
        "man:io_uring_submit_and_wait_min_timeout(3)",
    ),
    "iouring.napi": ("man:io_uring_register_napi(3)",),
    "iouring.registered_ring": ("man:io_uring_register_ring_fd(3)",),
    "iouring.restrictions": ("man:io_uring_register(2), IORING_REGISTER_RESTRICTIONS",),
    "iouring.ktls": ("kernel:networking/tls.rst",),
    "iouring.sqpoll": (f"{_SETUP}, IORING_SETUP_SQPOLL",),
    "iouring.iowq": ("man:io_uring_register_iowq_max_workers(3)",),
    "iouring.overflow": (f"{_SETUP}, IORING_FEAT_NODROP", "linux:io_uring/fdinfo.c"),
    "epoll.features": ("man:epoll(7), max_user_watches",),
}

_TCP = {
    "net.somaxconn": (f"{_IP}, somaxconn", "man:listen(2), NOTES"),
    "net.syncookies": (f"{_IP}, tcp_syncookies", "man:tcp(7), tcp_syncookies"),
    "net.tcp_max_syn_backlog": (f"{_IP}, tcp_max_syn_backlog", "man:listen(2), NOTES"),
    "net.abort_on_overflow": (f"{_IP}, tcp_abort_on_overflow",),
    "net.port_range": (f"{_IP}, ip_local_port_range", "linux:include/net/tcp.h, TCP_TIMEWAIT_LEN"),
    "net.reserved_ports": (f"{_IP}, ip_local_reserved_ports",),
    "net.unprivileged_port_start": (f"{_IP}, ip_unprivileged_port_start",),
    "net.tw_reuse": (f"{_IP}, tcp_tw_reuse",),
    "net.tw_buckets": (f"{_IP}, tcp_max_tw_buckets",),
    "net.fin_timeout": (f"{_IP}, tcp_fin_timeout", "linux:include/net/tcp.h, TCP_TIMEWAIT_LEN"),
    "net.max_orphans": (f"{_IP}, tcp_max_orphans",),
    "net.tcp_mem": (f"{_IP}, tcp_mem",),
    "net.tcp_rmem": (f"{_IP}, tcp_rmem",),
    "net.tcp_wmem": (f"{_IP}, tcp_wmem",),
    "net.rmem_max": (f"{_NET}, rmem_max", "man:socket(7), SO_RCVBUF"),
    "net.wmem_max": (f"{_NET}, wmem_max", "man:socket(7), SO_SNDBUF"),
    "net.moderate_rcvbuf": (f"{_IP}, tcp_moderate_rcvbuf",),
    "net.window_scaling": (f"{_IP}, tcp_window_scaling", "RFC 7323, section 2"),
    "net.sack": (f"{_IP}, tcp_sack", "RFC 2018", "CVE-2019-11477"),
    "net.timestamps": (f"{_IP}, tcp_timestamps", "RFC 7323, sections 4 and 5"),
    "net.slow_start_idle": (
        f"{_IP}, tcp_slow_start_after_idle",
        "linux:include/net/tcp.h, tcp_slow_start_after_idle_check",
    ),
    "net.notsent_lowat": (f"{_IP}, tcp_notsent_lowat",),
    "net.congestion": (
        f"{_IP}, tcp_congestion_control",
        "linux:net/ipv4/Kconfig, TCP_CONG_CUBIC and TCP_CONG_BBR",
    ),
    "net.qdisc": (f"{_NET}, default_qdisc",),
    "net.mtu_probing": (f"{_IP}, tcp_mtu_probing", "RFC 4821"),
    "net.fastopen": (f"{_IP}, tcp_fastopen",),
    "net.migrate_req": (f"{_IP}, tcp_migrate_req",),
    "net.keepalive": (f"{_IP}, tcp_keepalive_time",),
    "net.synack_retries": (f"{_IP}, tcp_synack_retries",),
    "net.retries2": (f"{_IP}, tcp_retries2",),
    "net.ecn": (f"{_IP}, tcp_ecn",),
    "net.busy_poll": (f"{_NET}, busy_poll", f"{_NET}, busy_read"),
    "net.ipv6": (f"{_IP}, disable_ipv6",),
}

_TRAFFIC = {
    "net.accept_queue": ("man:sock_diag(7), idiag_rqueue", "man:listen(2)"),
    "net.listen_drops": (f"{_COUNTERS}, TcpExtListenOverflows",),
    "net.syn_drops": ("linux:net/ipv4/tcp_input.c, tcp_syn_flood_action", f"{_IP}, tcp_syncookies"),
    "net.health": ("RFC 4022, tcpRetransSegs and tcpOutSegs",),
    "net.netdev_max_backlog": (f"{_NET}, netdev_max_backlog", f"{_SCALING}, RPS Configuration"),
    "net.netdev_budget": (f"{_NET}, netdev_budget",),
    "net.conntrack": ("kernel:networking/nf_conntrack-sysctl.rst, nf_conntrack_max",),
    "net.neigh": (f"{_IP}, neigh/default/gc_thresh3",),
    "port.available": ("man:bind(2), EADDRINUSE",),
    "dns.resolver": ("man:resolv.conf(5)", "man:getaddrinfo(3)"),
    "nic.primary": (f"{_SCALING}, multi-queue",),
    "nic.queues": (f"{_SCALING}, RSS Configuration",),
    "nic.rps": (f"{_SCALING}, RPS Configuration",),
    "nic.irq_affinity": (
        f"{_SCALING}, RSS IRQ Configuration",
        "kernel:core-api/irq/irq-affinity.rst",
    ),
    "nic.irqbalance": (f"{_SCALING}, irqbalance",),
    "nic.rings": ("man:ethtool(8), --show-ring", "kernel:networking/statistics.rst"),
    "nic.offloads": ("kernel:networking/segmentation-offloads.rst",),
    "nic.drops": ("kernel:networking/statistics.rst",),
    "nic.mtu": ("man:ip-link(8), mtu", "RFC 4459"),
}

_MACHINE = {
    "cpu.workers": ("man:sched_setaffinity(2)", f"{_CGROUP}, cpu.max"),
    "cpu.governor": (
        "kernel:admin-guide/pm/cpufreq.rst, Scaling Governors",
        "kernel:admin-guide/pm/intel_pstate.rst, Active Mode",
    ),
    "cpu.clocksource": ("man:vdso(7)",),
    "cpu.steal": ("man:proc(5), steal",),
    "cpu.throttle": (f"{_CGROUP}, nr_throttled", "kernel:scheduler/sched-bwc.rst"),
    "cpu.isolated": (f"{_PARAMETERS}, isolcpus=",),
    "cpu.smt": (f"{_SYSFS_CPU}, smt",),
    "cpu.numa": (f"{_KERNEL}, numa_balancing",),
    "cpu.mitigations": ("kernel:admin-guide/hw-vuln/index.rst",),
    "cpu.crypto": ("RFC 8439, section 1",),
    "cpu.autogroup": ("man:sched(7), autogroup",),
    "cpu.psi": ("kernel:accounting/psi.rst",),
    "mem.budget": (f"{_CORE}, memory_limit", "man:proc(5), MemAvailable"),
    "mem.thp": ("kernel:admin-guide/mm/transhuge.rst, defrag",),
    "mem.swap_activity": ("man:vmstat(8), si",),
    "mem.swappiness": (f"{_VM}, swappiness",),
    "mem.overcommit": (f"{_VM}, overcommit_memory", "kernel:mm/overcommit-accounting.rst"),
    "mem.max_map_count": (f"{_VM}, max_map_count",),
    "mem.min_free": (f"{_VM}, min_free_kbytes",),
    "mem.zone_reclaim": (f"{_VM}, zone_reclaim_mode",),
    "mem.hugepages": ("kernel:admin-guide/mm/hugetlbpage.rst",),
    "mem.psi": ("kernel:accounting/psi.rst, full",),
    "mem.oom_score": ("kernel:filesystems/proc.rst, oom_score_adj",),
    "mem.oom_kills": (f"{_CGROUP}, oom_kill",),
    "lim.nofile": ("man:getrlimit(2), RLIMIT_NOFILE", "man:systemd-system.conf(5)"),
    "lim.nr_open": (f"{_FS}, nr_open", "man:proc(5), nr_open"),
    "lim.file_max": (f"{_FS}, file-max",),
    "lim.memlock": ("man:getrlimit(2), RLIMIT_MEMLOCK",),
    "lim.nproc": ("man:getrlimit(2), RLIMIT_NPROC",),
    "lim.limitsd_ignored": ("man:pam_limits(8)", f"{_EXEC}, PAMName="),
    "lim.pipe": (f"{_FS}, pipe-user-pages-soft", "linux:fs/pipe.c, PIPE_MIN_DEF_BUFFERS"),
    "cg.version": ("man:cgroups(7), VERSION 2",),
    "cg.cpu_max": (f"{_CGROUP}, cpu.max", "kernel:scheduler/sched-bwc.rst, cfs_quota_us"),
    "cg.cpuset": (f"{_CGROUP}, cpuset.cpus.effective",),
    "cg.memory": (f"{_CGROUP}, memory.high", f"{_CGROUP}, memory.max"),
    "cg.pids": (f"{_CGROUP}, pids.max", "man:systemd-system.conf(5), DefaultTasksMax="),
}

_UNIT = {
    "sd.unit": ("man:systemd.unit(5)",),
    "sd.limits": (f"{_EXEC}, LimitNOFILE=", "man:systemd-system.conf(5), DefaultLimitNOFILE="),
    "sd.effective": ("man:systemd.unit(5), drop-in",),
    "sd.private_users": (f"{_EXEC}, PrivateUsers=",),
    "sd.syscallfilter": (f"{_EXEC}, SystemCallFilter=", "man:systemd-analyze(1), syscall-filter"),
    "sd.mdwe": (f"{_EXEC}, MemoryDenyWriteExecute=",),
    "sd.kernel_tunables": (f"{_EXEC}, ProtectKernelTunables=", f"{_EXEC}, ProcSubset="),
    "sd.address_families": (f"{_EXEC}, RestrictAddressFamilies=",),
    "sd.caps": (f"{_EXEC}, AmbientCapabilities=",),
    "sd.restart": ("man:systemd.service(5), TimeoutStopSec=",),
    "sd.ordering": ("man:systemd.special(7), network-online.target",),
}

_PHP = {
    "php.present": (f"{_INI}install.php",),
    "php.eol": ("https://www.php.net/supported-versions.php",),
    "php.sapi_ini": (f"{_INI}configuration.file.php",),
    "php.ini_overrides": (
        "php-src: sapi/embed/php_embed.c, HARDCODED_INI",
        f"{_INI}outcontrol.configuration.php",
    ),
    "php.opcache.active": (
        "php-src: ext/opcache/ZendAccelerator.c, accel_find_sapi",
        f"{_INI}function.opcache-get-status.php",
    ),
    "php.opcache.shared": ("php-src: ext/opcache/shared_alloc_mmap.c",),
    "php.opcache.memory": (f"{_OPCACHE}, opcache.memory_consumption",),
    "php.opcache.files": (f"{_OPCACHE}, opcache.max_accelerated_files",),
    "php.opcache.interned": (f"{_OPCACHE}, opcache.interned_strings_buffer",),
    "php.opcache.timestamps": (f"{_OPCACHE}, opcache.validate_timestamps",),
    "php.opcache.comments": (f"{_OPCACHE}, opcache.save_comments",),
    "php.opcache.preload": (f"{_INI}opcache.preloading.php",),
    "php.jit": (f"{_OPCACHE}, opcache.jit", "php-src: ext/opcache, zend_execute_ex"),
    "php.xdebug": ("https://xdebug.org/docs/all_settings, xdebug.mode",),
    "php.assertions": (f"{_CORE}, zend.assertions",),
    "php.display_errors": (f"{_INI}errorfunc.configuration.php, display_errors",),
    "php.expose": (f"{_CORE}, expose_php",),
    "php.memory_limit": (f"{_CORE}, memory_limit",),
    "php.timeouts": (f"{_INI}function.set-time-limit.php, Notes",),
    "php.body_limits": (f"{_CORE}, post_max_size", f"{_CORE}, upload_max_filesize"),
    "php.session": (
        f"{_INI}session.configuration.php, session.save_path",
        f"{_INI}function.session-write-close.php",
    ),
    "php.realpath": (f"{_CORE}, realpath_cache_size",),
    "php.extensions": ("https://getcomposer.org/doc/articles/composer-platform-dependencies.md",),
    "php.docroot": (f"{_INI}security.filesystem.php",),
}

_REST = {
    "tls.cert_expiry": ("RFC 5280, section 4.1.2.5",),
    "tls.chain": ("RFC 8446, section 4.4.2",),
    "tls.key_match": ("man:SSL_CTX_check_private_key(3)",),
    "tls.key_perm": ("man:chmod(1)",),
    "tls.names": ("RFC 9525, section 2", _APPLE),
    "tls.strength": ("man:SSL_CTX_set_security_level(3)", _APPLE),
    "tls.library": ("https://openssl-library.org/policies/releasestrat/",),
    "time.sync": ("man:adjtimex(2), STA_UNSYNC",),
    "time.tz": ("man:localtime(5)",),
    "disk.space": ("man:statvfs(3), f_bavail",),
    "disk.inodes": ("man:statvfs(3), f_favail",),
    "disk.writable": ("man:open(2), O_TMPFILE",),
    "disk.fs": ("man:proc(5), mounts", f"{_OPCACHE}, opcache.revalidate_freq"),
    "disk.shm": (
        "man:shm_overview(7)",
        "https://docs.docker.com/reference/cli/docker/container/run/, --shm-size",
    ),
    "disk.sched": ("kernel:block/switching-sched.rst",),
    "cfg.valid": ("askrctl/config/schema.py",),
    "cfg.backend": ("docs/bench.md",),
    "cfg.sysctl_shadow": ("man:sysctl.d(5)", "man:sysctl(8), --system"),
    "cfg.drift": ("docs/tune.md",),
    "folk.tw_recycle": ("man:tcp(7), tcp_tw_recycle",),
    "folk.dsack": (f"{_IP}, tcp_dsack", "RFC 2883"),
    "folk.rmem_default": (f"{_NET}, rmem_default", f"{_IP}, tcp_rmem"),
    "folk.low_latency": (f"{_IP}, tcp_low_latency",),
    "folk.fack": (f"{_IP}, tcp_fack",),
    "folk.huge_backlog": (f"{_NET}, netdev_max_backlog",),
    "folk.softirq_budget": (f"{_NET}, netdev_budget",),
    "folk.pmtu_disc": (f"{_IP}, ip_no_pmtu_disc",),
    "folk.swappiness_zero": (f"{_VM}, swappiness",),
    "folk.mitigations_off": (f"{_PARAMETERS}, mitigations=",),
    "folk.security_off": (f"{_PARAMETERS}, selinux=", f"{_PARAMETERS}, apparmor="),
    "folk.isolcpus": (f"{_PARAMETERS}, isolcpus=",),
    "folk.drop_caches": (f"{_VM}, drop_caches",),
    "folk.nofile_infinite": (f"{_FS}, nr_open", f"{_EXEC}, LimitNOFILE="),
    "folk.entropy_daemon": ("man:random(4), 5.6", "man:getrandom(2)"),
    "folk.nobarrier": ("kernel:admin-guide/ext4.rst, barrier",),
}

SOURCES: dict[str, tuple[str, ...]] = {
    **_ENVIRONMENT,
    **_RINGS,
    **_TCP,
    **_TRAFFIC,
    **_MACHINE,
    **_UNIT,
    **_PHP,
    **_REST,
}
