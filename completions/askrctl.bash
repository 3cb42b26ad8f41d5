# bash completion for askrctl. Written by `askrctl completions bash`: do not edit.
_askrctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} place="" word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$place $word" in
        " serve") place=serve ;;
        " status") place=status ;;
        " reload") place=reload ;;
        " stop") place=stop ;;
        " explain") place=explain ;;
        " completions") place=completions ;;
        " doctor") place=doctor ;;
        "doctor list") place="doctor list" ;;
        " tune") place=tune ;;
        "tune plan") place="tune plan" ;;
        "tune apply") place="tune apply" ;;
        "tune watch") place="tune watch" ;;
        "tune confirm") place="tune confirm" ;;
        "tune revert") place="tune revert" ;;
        "tune status") place="tune status" ;;
        "tune verify") place="tune verify" ;;
        "tune history") place="tune history" ;;
        "tune keys") place="tune keys" ;;
        esac
    done
    case "$previous" in
    --fail-on) COMPREPLY=($(compgen -W "fail warn never" -- "$current")); return ;;
    --format) COMPREPLY=($(compgen -W "text json junit prom nagios" -- "$current")); return ;;
    --io-backend) COMPREPLY=($(compgen -W "auto io_uring epoll" -- "$current")); return ;;
    --min) COMPREPLY=($(compgen -W "fail warn unknown info skip ok" -- "$current")); return ;;
    --only) COMPREPLY=($(compgen -W "iouring epoll php iouring.setup iouring.sysctl iouring.group iouring.seccomp iouring.lsm iouring.memlock iouring.fragmentation iouring.core iouring.accept_multishot iouring.recv_multishot iouring.pbuf_ring iouring.pbuf_inc iouring.bundle iouring.send_zc iouring.direct_fds iouring.defer_taskrun iouring.no_sqarray iouring.reg_wait iouring.napi iouring.registered_ring iouring.restrictions iouring.ktls iouring.sqpoll iouring.iowq iouring.overflow epoll.features php.present php.eol php.sapi_ini php.ini_overrides php.opcache.active php.opcache.shared php.opcache.memory php.opcache.files php.opcache.interned php.opcache.timestamps php.opcache.comments php.opcache.preload php.jit php.xdebug php.assertions php.display_errors php.expose php.memory_limit php.timeouts php.body_limits php.session php.realpath php.extensions php.docroot" -- "$current")); return ;;
    --profile) COMPREPLY=($(compgen -W "auto development production container" -- "$current")); return ;;
    --skip) COMPREPLY=($(compgen -W "iouring epoll php iouring.setup iouring.sysctl iouring.group iouring.seccomp iouring.lsm iouring.memlock iouring.fragmentation iouring.core iouring.accept_multishot iouring.recv_multishot iouring.pbuf_ring iouring.pbuf_inc iouring.bundle iouring.send_zc iouring.direct_fds iouring.defer_taskrun iouring.no_sqarray iouring.reg_wait iouring.napi iouring.registered_ring iouring.restrictions iouring.ktls iouring.sqpoll iouring.iowq iouring.overflow epoll.features php.present php.eol php.sapi_ini php.ini_overrides php.opcache.active php.opcache.shared php.opcache.memory php.opcache.files php.opcache.interned php.opcache.timestamps php.opcache.comments php.opcache.preload php.jit php.xdebug php.assertions php.display_errors php.expose php.memory_limit php.timeouts php.body_limits php.session php.realpath php.extensions php.docroot" -- "$current")); return ;;
    esac
    local words=""
    case "$place" in
    "") words="serve status reload stop explain completions doctor tune --version -h --help" ;;
    "serve") words="--listen --workers --io-backend --worker-script --processes --config --user --control -h --help" ;;
    "status") words="--control --json --format -h --help" ;;
    "reload") words="--control --json -h --help" ;;
    "stop") words="--control --json -h --help" ;;
    "explain") words="iouring.setup iouring.sysctl iouring.group iouring.seccomp iouring.lsm iouring.memlock iouring.fragmentation iouring.core iouring.accept_multishot iouring.recv_multishot iouring.pbuf_ring iouring.pbuf_inc iouring.bundle iouring.send_zc iouring.direct_fds iouring.defer_taskrun iouring.no_sqarray iouring.reg_wait iouring.napi iouring.registered_ring iouring.restrictions iouring.ktls iouring.sqpoll iouring.iowq iouring.overflow epoll.features php.present php.eol php.sapi_ini php.ini_overrides php.opcache.active php.opcache.shared php.opcache.memory php.opcache.files php.opcache.interned php.opcache.timestamps php.opcache.comments php.opcache.preload php.jit php.xdebug php.assertions php.display_errors php.expose php.memory_limit php.timeouts php.body_limits php.session php.realpath php.extensions php.docroot --json -h --help" ;;
    "completions") words="-h --help" ;;
    "doctor") words="list --profile --target --only --skip --min --show --fail-on --format --json -o --output -v --verbose --network --timeout --watch --config --path --control --certificate --accept --root --print-schema -h --help" ;;
    "doctor list") words="--group --json -h --help" ;;
    "tune") words="plan apply watch confirm revert status verify history keys -h --help" ;;
    "tune plan") words="--only --set --format --json --runtime-only --persist-only --win --unit --root --exit-code -h --help" ;;
    "tune apply") words="--only --set --plan --runtime-only --persist-only --win --unit --root --confirm-within --take-ownership -y --yes --json -h --help" ;;
    "tune watch") words="--root -h --help" ;;
    "tune confirm") words="--root -h --help" ;;
    "tune revert") words="--last --all --force --root --json -h --help" ;;
    "tune status") words="--root --json -h --help" ;;
    "tune verify") words="--root --json -h --help" ;;
    "tune history") words="--root --json -h --help" ;;
    "tune keys") words="--json -h --help" ;;
    esac
    if [[ -z $words || ( $current != -* && $words == -* ) ]]; then
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}
complete -o filenames -F _askrctl askrctl
