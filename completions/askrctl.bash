# bash completion for askrctl. Written by `askrctl completions bash`: do not edit.
_askrctl() {
    COMPREPLY=()
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} place="" word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$place $word" in
        " serve") place=serve ;;
        " status") place=status ;;
        " top") place=top ;;
        " reload") place=reload ;;
        " rollback") place=rollback ;;
        " stop") place=stop ;;
        " slowlog") place=slowlog ;;
        " record") place=record ;;
        " replay") place=replay ;;
        " explain") place=explain ;;
        " completions") place=completions ;;
        " check") place=check ;;
        "check app") place="check app" ;;
        " config") place=config ;;
        "config show") place="config show" ;;
        "config check") place="config check" ;;
        " doctor") place=doctor ;;
        "doctor list") place="doctor list" ;;
        "doctor bundle") place="doctor bundle" ;;
        "doctor diff") place="doctor diff" ;;
        " tune") place=tune ;;
        "tune app") place="tune app" ;;
        "tune plan") place="tune plan" ;;
        "tune apply") place="tune apply" ;;
        "tune confirm") place="tune confirm" ;;
        "tune revert") place="tune revert" ;;
        "tune status") place="tune status" ;;
        "tune verify") place="tune verify" ;;
        "tune history") place="tune history" ;;
        "tune keys") place="tune keys" ;;
        " bench") place=bench ;;
        "bench run") place="bench run" ;;
        "bench matrix") place="bench matrix" ;;
        "bench load") place="bench load" ;;
        esac
    done
    case "$place $previous" in
    *" --only"|*" --skip") COMPREPLY=($(compgen -W "env sec iouring epoll net port dns nic cpu mem lim cg sd php tls time disk cfg folk env.kernel env.distro env.arch_abi env.init env.virt env.container env.sandbox env.other_tuners env.reboot_required sec.caps sec.seccomp sec.lsm sec.root sec.entropy sec.core_dumps iouring.setup iouring.sysctl iouring.group iouring.seccomp iouring.lsm iouring.memlock iouring.fragmentation iouring.core iouring.accept_multishot iouring.recv_multishot iouring.pbuf_ring iouring.pbuf_inc iouring.bundle iouring.send_zc iouring.direct_fds iouring.defer_taskrun iouring.no_sqarray iouring.reg_wait iouring.napi iouring.registered_ring iouring.restrictions iouring.ktls iouring.sqpoll iouring.iowq iouring.overflow epoll.features net.somaxconn net.syncookies net.tcp_max_syn_backlog net.abort_on_overflow net.port_range net.reserved_ports net.unprivileged_port_start net.tw_reuse net.tw_buckets net.fin_timeout net.max_orphans net.tcp_mem net.tcp_rmem net.tcp_wmem net.rmem_max net.wmem_max net.moderate_rcvbuf net.window_scaling net.sack net.timestamps net.slow_start_idle net.notsent_lowat net.congestion net.qdisc net.mtu_probing net.fastopen net.migrate_req net.keepalive net.synack_retries net.retries2 net.ecn net.busy_poll net.ipv6 net.accept_queue net.listen_drops net.syn_drops net.health net.netdev_max_backlog net.netdev_budget net.conntrack net.neigh port.available dns.resolver nic.primary nic.queues nic.rps nic.irq_affinity nic.irqbalance nic.rings nic.offloads nic.drops nic.mtu cpu.workers cpu.governor cpu.clocksource cpu.steal cpu.throttle cpu.isolated cpu.smt cpu.numa cpu.mitigations cpu.crypto cpu.autogroup cpu.psi mem.budget mem.thp mem.swap_activity mem.swappiness mem.overcommit mem.max_map_count mem.min_free mem.zone_reclaim mem.hugepages mem.psi mem.oom_score mem.oom_kills lim.nofile lim.nr_open lim.file_max lim.memlock lim.nproc lim.limitsd_ignored lim.pipe cg.version cg.cpu_max cg.cpuset cg.memory cg.pids sd.unit sd.limits sd.effective sd.private_users sd.syscallfilter sd.mdwe sd.kernel_tunables sd.address_families sd.caps sd.restart sd.ordering php.present php.eol php.sapi_ini php.ini_overrides php.opcache.active php.opcache.shared php.opcache.memory php.opcache.files php.opcache.interned php.opcache.timestamps php.opcache.comments php.opcache.preload php.jit php.xdebug php.assertions php.display_errors php.expose php.memory_limit php.timeouts php.body_limits php.session php.realpath php.extensions php.docroot tls.cert_expiry tls.chain tls.key_match tls.key_perm tls.names tls.strength tls.library time.sync time.tz disk.space disk.inodes disk.writable disk.fs disk.shm disk.sched cfg.valid cfg.backend cfg.sysctl_shadow cfg.drift folk.tw_recycle folk.dsack folk.rmem_default folk.low_latency folk.fack folk.huge_backlog folk.softirq_budget folk.pmtu_disc folk.swappiness_zero folk.mitigations_off folk.security_off folk.isolcpus folk.drop_caches folk.nofile_infinite folk.entropy_daemon folk.nobarrier" -- "$current")) ;;
    "serve --io-backend") COMPREPLY=($(compgen -W "auto io_uring epoll" -- "$current")) ;;
    "status --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "top --sort") COMPREPLY=($(compgen -W "process age req/s cpu memory requests" -- "$current")) ;;
    "top --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "reload --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "rollback --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "stop --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "slowlog --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "record --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "replay --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "check app --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "config show --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "config check --format") COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
    "doctor --profile") COMPREPLY=($(compgen -W "auto development production container" -- "$current")) ;;
    "doctor --min") COMPREPLY=($(compgen -W "fail warn unknown info skip ok" -- "$current")) ;;
    "doctor --fail-on") COMPREPLY=($(compgen -W "fail warn never" -- "$current")) ;;
    "doctor --format") COMPREPLY=($(compgen -W "text json junit prom nagios" -- "$current")) ;;
    "doctor bundle --profile") COMPREPLY=($(compgen -W "auto development production container" -- "$current")) ;;
    "tune app --format") COMPREPLY=($(compgen -W "text json toml diff" -- "$current")) ;;
    "tune plan --format") COMPREPLY=($(compgen -W "text diff json sh" -- "$current")) ;;
    "bench run --a") COMPREPLY=($(compgen -W "epoll io_uring" -- "$current")) ;;
    "bench run --b") COMPREPLY=($(compgen -W "epoll io_uring" -- "$current")) ;;
    "bench run --tool") COMPREPLY=($(compgen -W "oha wrk hey ab h2load" -- "$current")) ;;
    "bench run --validate") COMPREPLY=($(compgen -W "hash length status" -- "$current")) ;;
    "bench matrix --tool") COMPREPLY=($(compgen -W "oha wrk hey ab h2load" -- "$current")) ;;
    "bench matrix --validate") COMPREPLY=($(compgen -W "hash length status" -- "$current")) ;;
    "bench load --tool") COMPREPLY=($(compgen -W "oha wrk hey ab h2load" -- "$current")) ;;
    esac
    ((${#COMPREPLY[@]})) && return
    local words=""
    case "$place" in
    "") words="serve status top reload rollback stop slowlog record replay explain completions check config doctor tune bench --version -h --help" ;;
    "serve") words="--listen --workers --io-backend --worker-script --processes --tls-cert --tls-key --tls-self-signed --admin --config --watch --user --control -h --help" ;;
    "status") words="--control --json --format -h --help" ;;
    "top") words="--control -d --interval --sort --filter --busy --once --json --format -h --help" ;;
    "reload") words="--control --json --format --verify --check --timeout -h --help" ;;
    "rollback") words="--control --json --format --timeout -h --help" ;;
    "stop") words="--control --json --format -h --help" ;;
    "slowlog") words="-n --lines --control --json --format -h --help" ;;
    "record") words="--rate --one-in --body-size --max-size --count --seconds --redact-header --keep-header --redact-parameter --keep-answers --keep-uploads --control --json --format -h --help" ;;
    "replay") words="--against --path --config --any-method --ignore --ignore-body --diff --json --format -h --help" ;;
    "explain") words="backend env.kernel env.distro env.arch_abi env.init env.virt env.container env.sandbox env.other_tuners env.reboot_required sec.caps sec.seccomp sec.lsm sec.root sec.entropy sec.core_dumps iouring.setup iouring.sysctl iouring.group iouring.seccomp iouring.lsm iouring.memlock iouring.fragmentation iouring.core iouring.accept_multishot iouring.recv_multishot iouring.pbuf_ring iouring.pbuf_inc iouring.bundle iouring.send_zc iouring.direct_fds iouring.defer_taskrun iouring.no_sqarray iouring.reg_wait iouring.napi iouring.registered_ring iouring.restrictions iouring.ktls iouring.sqpoll iouring.iowq iouring.overflow epoll.features net.somaxconn net.syncookies net.tcp_max_syn_backlog net.abort_on_overflow net.port_range net.reserved_ports net.unprivileged_port_start net.tw_reuse net.tw_buckets net.fin_timeout net.max_orphans net.tcp_mem net.tcp_rmem net.tcp_wmem net.rmem_max net.wmem_max net.moderate_rcvbuf net.window_scaling net.sack net.timestamps net.slow_start_idle net.notsent_lowat net.congestion net.qdisc net.mtu_probing net.fastopen net.migrate_req net.keepalive net.synack_retries net.retries2 net.ecn net.busy_poll net.ipv6 net.accept_queue net.listen_drops net.syn_drops net.health net.netdev_max_backlog net.netdev_budget net.conntrack net.neigh port.available dns.resolver nic.primary nic.queues nic.rps nic.irq_affinity nic.irqbalance nic.rings nic.offloads nic.drops nic.mtu cpu.workers cpu.governor cpu.clocksource cpu.steal cpu.throttle cpu.isolated cpu.smt cpu.numa cpu.mitigations cpu.crypto cpu.autogroup cpu.psi mem.budget mem.thp mem.swap_activity mem.swappiness mem.overcommit mem.max_map_count mem.min_free mem.zone_reclaim mem.hugepages mem.psi mem.oom_score mem.oom_kills lim.nofile lim.nr_open lim.file_max lim.memlock lim.nproc lim.limitsd_ignored lim.pipe cg.version cg.cpu_max cg.cpuset cg.memory cg.pids sd.unit sd.limits sd.effective sd.private_users sd.syscallfilter sd.mdwe sd.kernel_tunables sd.address_families sd.caps sd.restart sd.ordering php.present php.eol php.sapi_ini php.ini_overrides php.opcache.active php.opcache.shared php.opcache.memory php.opcache.files php.opcache.interned php.opcache.timestamps php.opcache.comments php.opcache.preload php.jit php.xdebug php.assertions php.display_errors php.expose php.memory_limit php.timeouts php.body_limits php.session php.realpath php.extensions php.docroot tls.cert_expiry tls.chain tls.key_match tls.key_perm tls.names tls.strength tls.library time.sync time.tz disk.space disk.inodes disk.writable disk.fs disk.shm disk.sched cfg.valid cfg.backend cfg.sysctl_shadow cfg.drift folk.tw_recycle folk.dsack folk.rmem_default folk.low_latency folk.fack folk.huge_backlog folk.softirq_budget folk.pmtu_disc folk.swappiness_zero folk.mitigations_off folk.security_off folk.isolcpus folk.drop_caches folk.nofile_infinite folk.entropy_daemon folk.nobarrier --json --control -h --help" ;;
    "completions") words="bash zsh fish -h --help" ;;
    "check") words="app -h --help" ;;
    "check app") words="--route --routes --worker-script --config --rounds --leak --strict --json --format -h --help" ;;
    "config") words="show check -h --help" ;;
    "config show") words="--config --running --control --changed --json --format -h --help" ;;
    "config check") words="--json --format -h --help" ;;
    "doctor") words="list bundle diff --profile --target --only --skip --min --show --fail-on --format --json -o --output -v --verbose --network --timeout --watch --config --path --control --certificate --accept --root --print-schema -h --help" ;;
    "doctor list") words="--group --json -h --help" ;;
    "doctor bundle") words="-o --output --redact --no-redact --target --profile --config --path --control -h --help" ;;
    "doctor diff") words="--json -h --help" ;;
    "tune") words="app plan apply confirm revert status verify history keys -h --help" ;;
    "tune app") words="--route --routes --requests --config --worker-script --host --format --json --write --print-schema -h --help" ;;
    "tune plan") words="--only --set --format --json --runtime-only --persist-only --win --unit --root --exit-code --print-schema -h --help" ;;
    "tune apply") words="--only --set --plan --runtime-only --persist-only --win --unit --root --confirm-within --take-ownership -y --yes --json -h --help" ;;
    "tune confirm") words="--root -h --help" ;;
    "tune revert") words="--last --all --only --force --root --json -h --help" ;;
    "tune status") words="--root --json -h --help" ;;
    "tune verify") words="--root --json -h --help" ;;
    "tune history") words="--root --json -h --help" ;;
    "tune keys") words="--json -h --help" ;;
    "bench") words="run matrix load -h --help" ;;
    "bench run") words="--a --b --app --config --worker-script --processes --workers --seconds --rounds --warmup --connections --rate --tool --threshold --validate --ignore --output --quick --json --gate -h --help" ;;
    "bench matrix") words="--route --config --worker-script --processes --workers --seconds --rounds --warmup --connections --rate --tool --threshold --validate --ignore --peers --no-peers --output --quick --json --gate -h --help" ;;
    "bench load") words="--seconds --connections --rate --tool --pid --json -h --help" ;;
    esac
    if [[ -z $words || ( $current != -* && $words == -* ) ]]; then
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}
complete -o filenames -F _askrctl askrctl
