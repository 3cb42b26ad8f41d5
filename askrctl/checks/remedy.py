# SPDX-License-Identifier: MIT
"""Remedies as data, worded for where the server runs: a host, a unit, a container."""

from askrctl.checks.frame import Context, Profile
from askrctl.model import FileSetting, Fix, PhpSetting, Rule, SysctlSetting, UnitSetting

# Kubernetes' list of safe sysctls; all others need the kubelet's --allowed-unsafe-sysctls.
_KUBERNETES_SAFE = (
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
)


def sysctl(
    context: Context, key: str, value: object, rule: Rule = "raise", *, default: bool = False
) -> Fix:
    """A value below /proc/sys."""
    text = str(value)
    if context.profile is Profile.CONTAINER:
        safe = "" if key in _KUBERNETES_SAFE else ", which the kubelet must allow by name"
        return Fix(
            manual=(
                f"docker run --sysctl {key}='{text}' ...",
                f"Kubernetes: securityContext.sysctls {key}={text}{safe}",
            ),
            needs=("restart",),
        )
    return Fix(
        manual=(f"sysctl -w {key}='{text}'",),
        needs=("root",),
        settings=(SysctlSetting(key, text, rule),),
        default_plan=default,
    )


def column(context: Context, key: str, index: int, value: int) -> Fix:
    """One field of a value that has several: the others stay as they are."""
    words = context.sysctl(key).split()
    words[index] = str(value)
    return Fix(
        manual=(f"sysctl -w {key}='{' '.join(words)}'",),
        needs=("root",),
        settings=(SysctlSetting(key, str(value), "raise", index),),
    )


def sysfs(path: str, value: str) -> Fix:
    """A file below /sys."""
    return Fix(
        manual=(f"echo {value} > {path}",), needs=("root",), settings=(FileSetting(path, value),)
    )


def unit(
    context: Context, directive: str, value: str, rule: Rule = "raise", *, default: bool = False
) -> Fix:
    """A directive of the server's unit; it counts from the next restart on."""
    name = context.unit
    if context.profile is Profile.CONTAINER:
        return Fix(manual=_for_container(directive, value), needs=("restart",))
    if not context.unit:  # nothing here that a drop-in could change
        return Fix(manual=_by_command(directive, value), needs=("root", "restart"))
    return Fix(
        manual=(f"systemctl edit {name}: {directive}={value}",),
        needs=("root", "restart"),
        settings=(UnitSetting(directive, value, rule),),
        default_plan=default,
    )


def _for_container(directive: str, value: str) -> tuple[str, ...]:
    limit = directive.removeprefix("Limit").lower()
    if directive.startswith("Limit"):
        number = value.replace("infinity", "-1")
        return (f"docker run --ulimit {limit}={number} ...",)
    if directive == "AmbientCapabilities":
        return (f"docker run --cap-add {value.removeprefix('CAP_')} ...",)
    return (f"the runtime's equivalent of {directive}={value}",)


def _by_command(directive: str, value: str) -> tuple[str, ...]:
    """For a server that no unit starts."""
    if directive.startswith("Limit"):
        limit, number = (
            directive.removeprefix("Limit").lower(),
            value.replace("infinity", "unlimited"),
        )
        return (f"start it by: prlimit --{limit}={number} askrctl serve ...",)
    started = {
        "AmbientCapabilities": "start it as root, with --user NAME",
        "OOMScoreAdjust": f"start it by: choom -n {value} -- askrctl serve ...",
        "User": f"askrctl serve --user {value}, in a folder that this user can read",
        "TasksMax": f"pids.max of its cgroup: {value}",
    }
    return (started.get(directive, f"what {directive}={value} is for a unit"),)


def php(name: str, value: str) -> Fix:
    """A line of php.ini for the server's own SAPI."""
    return Fix(
        manual=(f"[php] ini in askr.toml, or the SAPI's conf.d: {name}={value}",),
        needs=("reload",),
        settings=(PhpSetting(name, value),),
    )


def by_hand(*manual: str, needs: tuple[str, ...] = ()) -> Fix:
    """What only a person can do."""
    return Fix(manual=manual, needs=needs)
