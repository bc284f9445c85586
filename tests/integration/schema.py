# SPDX-License-Identifier: MIT
"""The wire protocol as a strict checker: every key a host needs, with its exact type, for every message type.

A host stores a sample whole or not at all, so a wrong type anywhere is a fault. Extra keys are allowed: hosts ignore them.
"""
import ipaddress
import glob
import json
import math
import os
import re

LINE_MAX = 1 << 20
STATUSES = {"Running", "Sleeping", "Disk Sleep", "Zombie", "Stopped", "Tracing Stop", "Dead", "Idle"}
CODES = set("""INVALID_MESSAGE UNKNOWN_COMMAND INVALID_PARAMETERS PERMISSION_DENIED POLICY_DENIED UNSIGNED BAD_SIGNATURE STALE
REPLAYED DUPLICATE_ID QUEUE_FULL COMMAND_TIMEOUT CANCELLED COMMAND_FAILED NOT_FOUND UNSUPPORTED_PLATFORM TOO_LARGE
SHUTTING_DOWN INTERNAL""".split())
REASON = re.compile(r"[a-z][a-z0-9_]*$")
CONTROL = bytes(range(0x20)) + b"\x7f"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
ANY_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


class Fault(AssertionError):
    pass


def actions_of_the_table():
    """The names of all actions, out of the agent's source; what is a message type of its own is none."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    names = set()
    for path in glob.glob(os.path.join(top, "agent", "**", "*.c"), recursive=True):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        names.update(re.findall(r'^const struct action action_\w+ = \{\s*\.name = "(\w+)",(?!\s*\.type)', text, re.M))
        names.update(re.findall(r'^ACTION\(\w+, "(\w+)"', text, re.M))
    return names


def _fail(path, text):
    raise Fault(f"{path}: {text}")


# ------------------------------------------------------------------------------------------------------ value types

def integer(value, path):
    if type(value) is not int:
        _fail(path, f"an integer is wanted, not {value!r}")


def natural(value, path):
    integer(value, path)
    if not 0 <= value < 1 << 64:
        _fail(path, f"{value} is no u64")


def number(value, path):
    if type(value) not in (int, float) or not math.isfinite(value):
        _fail(path, f"a finite number is wanted, not {value!r}")


def positive(value, path):
    number(value, path)
    if value < 0:
        _fail(path, f"{value} is negative")


def percent(value, path):
    number(value, path)
    if not 0 <= value <= 100:
        _fail(path, f"{value} is not within 0 and 100")


def text(value, path):
    if type(value) is not str:
        _fail(path, f"a string is wanted, not {value!r}")
    if "\0" in value:
        _fail(path, "holds U+0000")


def word(value, path):
    text(value, path)
    if not value:
        _fail(path, "is empty")


def boolean(value, path):
    if type(value) is not bool:
        _fail(path, f"a boolean is wanted, not {value!r}")


def mapping(value, path):
    if type(value) is not dict:
        _fail(path, f"an object is wanted, not {value!r}")


def anything(value, path):
    del value, path


def stamp(value, path):
    if type(value) is not str or not STAMP.match(value):
        _fail(path, f"{value!r} is no RFC 3339 UTC text with milliseconds")


def any_stamp(value, path):
    if type(value) is not str or not ANY_STAMP.match(value):
        _fail(path, f"{value!r} is no RFC 3339 text")


def address(value, path):
    text(value, path)
    try:
        ipaddress.ip_address(value.split("%")[0].split("/")[0])
    except ValueError:
        _fail(path, f"{value!r} is no address")


def maybe(check):
    def check_maybe(value, path):
        if value is not None:
            check(value, path)
    check_maybe.within = check
    return check_maybe


def one_of(*choices):
    def check(value, path):
        if value not in choices:
            _fail(path, f"{value!r} is none of {choices}")
    return check


def list_of(check, most=None):
    def check_list(value, path):
        if type(value) is not list:
            _fail(path, f"an array is wanted, not {value!r}")
        if most is not None and len(value) > most:
            _fail(path, f"{len(value)} items, {most} are allowed")
        for i, item in enumerate(value):
            check(item, f"{path}[{i}]")
    check_list.items = check
    return check_list


def record(**members):
    """An object with all these members; a trailing underscore in a name is for Python's keywords."""
    wanted = [(key.rstrip("_"), "." + key.rstrip("_"), member) for key, member in members.items()]

    def check(value, path):
        mapping(value, path)
        for key, place, member in wanted:
            if key not in value:
                _fail(path, f"has no {key!r}")
            member(value[key], path + place)
    check.members = {key: member for key, _, member in wanted}
    return check


def leaves(check, path):
    """The paths of the values that a check demands, below the one it is for."""
    if hasattr(check, "members"):
        for key, member in check.members.items():
            yield from leaves(member, f"{path}.{key}" if path else key)
    elif hasattr(check, "items"):
        yield from leaves(check.items, path + "[]")
    elif hasattr(check, "within"):
        yield from leaves(check.within, path)
    else:
        yield path


# ----------------------------------------------------------------------------------------------------------- metrics

CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
cpu = record(usage_percent=percent, cores_usage=list_of(percent), temperature=maybe(number), context_switches=maybe(natural), forks=maybe(natural),
             interrupts=maybe(natural), interrupts_per_sec=maybe(positive),
             cores_seconds=record(user=list_of(positive, 65), system=list_of(positive, 65), idle=list_of(positive, 65)))
MEMORY_COUNTS = ("active_kb", "inactive_kb", "mapped_kb", "page_tables_kb", "kernel_stack_kb", "vmalloc_used_kb", "anonymous_huge_kb")
memory = record(total_kb=natural, used_kb=natural, available_kb=natural, swap_total_kb=maybe(natural),
                swap_used_kb=maybe(natural), **{key: maybe(natural) for key in MEMORY_COUNTS})
constant_memory = record(**{key: maybe(natural) for key in ("unevictable_kb", "locked_kb", "swap_cached_kb", "zswap_kb", "zswapped_kb", "commit_limit_kb", "huge_page_size_kb", "huge_pages_total", "huge_pages_free",
                                                            "huge_pages_reserved", "huge_pages_surplus")})
stall = record(avg10_percent=percent, avg60_percent=percent, avg300_percent=percent, total_us=natural)
stalls = record(some=maybe(stall), full=maybe(stall))


def pressure(value, path):
    record(cpu=stalls, memory=stalls, io=stalls)(value, path)
    for resource in ("cpu", "memory", "io"):
        unknown = None in (value[resource]["some"], value[resource]["full"])
        if unknown != ("reason" in value[resource]):
            _fail(f"{path}.{resource}", "has a null without a reason, or a reason without a null")
        if unknown:
            one_of("unsupported", "denied", "invalid", "unreadable")(value[resource]["reason"], f"{path}.{resource}.reason")


COUNTERS_OF_VMSTAT = ("paged_in_kb", "paged_out_kb", "swapped_in_pages", "swapped_out_pages", "major_faults", "oom_kills", "compaction_stalls",
                      "allocation_stalls")
vmstat = record(state=one_of("first", "ok", "reset", "gap", "stale"), **{name: maybe(natural) for name in COUNTERS_OF_VMSTAT},
                **{f"{name}_per_sec": maybe(positive) for name in COUNTERS_OF_VMSTAT})
state = one_of("first", "ok", "reset", "gap", "stale")
nothing_or = lambda names, check: {name: maybe(check) for name in names}  # noqa: E731
tcp = record(
    state=state,
    **nothing_or(("established", "active_opens", "passive_opens", "failed_opens", "resets", "resets_sent", "segments_in", "segments_out",
                  "retransmitted", "errors_in", "listen_overflows", "listen_drops", "timeouts", "backlog_drops", "syncookies_sent"), natural),
    **nothing_or(("resets_sent_per_sec", "segments_in_per_sec", "segments_out_per_sec", "retransmitted_per_sec", "listen_drops_per_sec"), positive),
    udp=record(**nothing_or(("datagrams_in", "datagrams_out", "no_ports", "errors_in", "receive_buffer_full", "send_buffer_full"), natural),
               errors_in_per_sec=maybe(positive)),
    sockets=record(**nothing_or(("used", "tcp", "tcp_allocated", "tcp_orphaned", "tcp_time_wait", "tcp_pages", "udp", "udp_pages"), natural)),
    softnet=record(**nothing_or(("processed", "dropped", "squeezed"), natural), dropped_per_sec=maybe(positive)))
# Parts of data.system that an owner may switch off. What was last read stands in samples in between, with its age.
PARTS = {"pressure": pressure, "vmstat": vmstat}


def known(check, *keys, other=("suspended",)):
    """What `check` says, and a reason beside any null of these keys, and none without."""
    def check_known(value, path):
        check(value, path)
        if any(value[key] is None for key in keys) != ("reason" in value):
            _fail(path, "has a null without a reason, or a reason without a null")
        if "reason" in value:
            one_of("unsupported", "denied", "invalid", "unreadable", *other)(value["reason"], path + ".reason")
    check_known.within = check
    return check_known


def counts(*keys):
    return known(record(**nothing_or(keys, natural)), *keys)


limits = record(files=counts("open", "max"), inodes=counts("used", "unused"), threads=counts("used", "max", "pid_max"),
                conntrack=counts("used", "max"), entropy=counts("available_bits", "pool_bits"))
clock = known(record(synchronized=maybe(boolean), offset_us=maybe(number), max_error_us=maybe(integer), estimated_error_us=maybe(integer),
                     frequency_ppm=maybe(number), tai_offset_s=maybe(integer), leap=maybe(one_of("none", "insert", "delete", "now", "over")),
                     source=maybe(word)), "synchronized")
guest = record(hypervisor=maybe(word), container=maybe(word), cloud=maybe(word), cloud_id=maybe(word),
               cloud_init=maybe(one_of("running", "done", "error", "disabled")), boot_id=maybe(word),
               dmi=record(**nothing_or(("vendor", "product", "version", "bios_vendor", "bios_version"), word)),
               image=record(id=maybe(word), version=maybe(word)), kernel=record(version=maybe(word), machine=maybe(word)),
               os=record(id=maybe(word), version_id=maybe(word)))
login = record(user=word, tty=maybe(word), remote_host=maybe(word), service=maybe(word), closing=boolean, since=maybe(stamp))
users = known(record(source=maybe(one_of("logind", "utmp")), sessions_total=maybe(natural), sessions=maybe(list_of(login, 8))), "source")
sensors = record(temperatures=list_of(known(record(chip=maybe(word), label=word, celsius=maybe(number)), "celsius")),
                 fans=list_of(known(record(chip=maybe(word), label=word, rpm=maybe(natural)), "rpm")),
                 zones=list_of(known(record(type=maybe(word), name=word, celsius=maybe(number)), "celsius")))
gpu = record(cards=list_of(known(record(name=word, driver=maybe(word), vendor=maybe(word), device=maybe(word), busy_percent=maybe(percent),
                                        memory_used_bytes=maybe(natural), memory_total_bytes=maybe(natural), celsius=maybe(number)),
                                 "busy_percent", "celsius"), 8))
units = known(record(failed_total=maybe(natural), failed=maybe(list_of(word, 8)), restarting_total=maybe(natural),
                     restarting=maybe(list_of(word, 8))), "failed_total",
              other=("not_asked", "no_answer", "no_bus", "no_library"))
CGROUP_COUNTERS = ("cpu_us", "throttled_us", "memory_kb", "oom_kills", "read_bytes", "write_bytes", "tasks")
cgroup = known(record(path=word, kind=one_of("slice", "service", "scope", "container", "other"), memory_max_kb=maybe(natural), state=state,
                      pressure=record(**nothing_or(("cpu", "memory", "io"), percent)), **nothing_or(CGROUP_COUNTERS, natural),
                      **nothing_or(("cpu_percent", "read_bytes_per_sec", "write_bytes_per_sec"), positive)))


def cgroup_row(value, path):
    cgroup({key: value[key] for key in value if key != "reason"}, path)
    unknown = any(value[key] is None for key in CGROUP_COUNTERS) or None in value["pressure"].values()
    if unknown != ("reason" in value):
        _fail(path, "has a null without a reason, or a reason without a null")
    if value["kind"] == "container":
        record(runtime=word, container_id=word)(value, path)


cgroups = list_of(cgroup_row, 200)
cgroup_row.within = cgroup
pressure.within = record(cpu=stalls, memory=stalls, io=stalls)
# The same, beside data.system.
SUBJECTS = {"tcp": tcp, "limits": limits, "clock": clock, "guest": guest, "users": users, "units": units, "sensors": sensors, "gpu": gpu}
filesystem = record(mount_point=word, total_gb=positive, used_gb=positive, available_gb=positive, filesystem=word, free_bytes=maybe(natural),
                    used_percent=maybe(percent), device_error=boolean)
DEVICE_COUNTS = ("read_time_ms", "write_time_ms", "io_time_ms", "weighted_time_ms", "read_merges", "write_merges")
device = record(name=word, **{key: natural for key in DEVICE_COUNTS}, flush_ops=maybe(natural), flush_time_ms=maybe(natural),
                read_await_ms=maybe(positive), write_await_ms=maybe(positive), queue_length=maybe(positive))
io_stats = record(read_bytes_per_sec=natural, write_bytes_per_sec=natural, read_ops_per_sec=natural,
                  write_ops_per_sec=natural, io_utilization_percent=maybe(percent))
interface = record(name=word, bytes_received=natural, bytes_sent=natural, packets_received=natural, packets_sent=natural,
                   errors_in=natural, errors_out=natural, ip_addresses=list_of(address), is_up=boolean)
constant_interface = record(mac=maybe(word), mtu=natural, prefix_lengths=list_of(natural), carrier_changes=maybe(natural), multicast_in=natural, fifo_errors_in=natural,
                            frame_errors_in=natural, compressed_in=natural, fifo_errors_out=natural, collisions_out=natural,
                            carrier_errors_out=natural, compressed_out=natural)
process = record(pid=natural, ppid=natural, name=text, exe_path=maybe(text), cmd_line=maybe(text), cpu_percent=positive,
                 memory_kb=maybe(natural), disk_read_bytes=maybe(natural), disk_write_bytes=maybe(natural),
                 status=one_of(*sorted(STATUSES)), start_time=maybe(any_stamp))
port = record(port=natural, protocol=one_of("TCP", "UDP"), state=one_of("LISTEN", "UNCONN"), pid=maybe(natural), process_name=maybe(text),
              exe_path=maybe(text), is_listening=one_of(True), connection_count=natural)
connection = record(process_name=maybe(text), pid=maybe(natural), protocol=one_of("TCP", "UDP"), remote_port=natural,
                    state=one_of("ESTABLISHED", "SYN_SENT", "CLOSE_WAIT"), count=natural)


system = record(cpu=cpu, memory=memory,
                disk=record(usage_stats=list_of(filesystem), io_stats=io_stats, devices=list_of(device)),
                network=record(interfaces=list_of(interface)),
                uptime_seconds=natural,
                load_average=record(load_1min=positive, load_5min=positive, load_15min=positive),
                name=text, os_version=text, kernel_version=word, hostname=text)
metrics_data = record(system=system, processes=list_of(process, 1000), ports=list_of(port, 1000), connections=list_of(connection))

# Lists that are cut to fit: where they stand, their name, and the key that says so.
CUT = ((("system", "disk"), "usage_stats", "usage_stats_truncated"), (("system", "disk"), "devices", "devices_truncated"),
       (("system", "network"), "interfaces", "truncated"), ((), "processes", "processes_truncated"), ((), "ports", "ports_truncated"),
       ((), "connections", "connections_truncated"))


def cuts(data, path):
    """What was left out is counted, and the rank named; what is whole says neither."""
    for names, name, mark in CUT:
        place = data
        for step in names:
            place = place[step]
        if mark in place:
            one_of(True)(place[mark], f"{path}.{mark}")
        if f"{name}_rank" in place:
            record(**{f"{name}_left_out": natural, f"{name}_rank": word})(place, path)


def leaves_of_metrics():
    """The paths of all values that a sample must have below data, if it has their part."""
    yield from leaves(metrics_data, "")
    for parts, above in ((PARTS, "system."), (SUBJECTS, "")):
        for name, check in parts.items():
            yield from leaves(check, above + name)
    yield from leaves(cgroups, "cgroup")


def generation(value, path):
    if not isinstance(value, str) or not re.match("^[0-9a-f]{16}$", value):
        _fail(path, f"{value!r} is no generation")


def metrics(message, path):
    record(timestamp=stamp, seq=natural, boot_id=word, generation=generation, schema=natural, data=metrics_data)(message, path)
    if "gap" in message:
        one_of("start", "clock")(message["gap"], path + ".gap")
    for mark in ("whole", "filled"):
        if mark in message:
            one_of(True)(message[mark], f"{path}.{mark}")
    if message.get("whole"):
        record(cpu=record(cores_seconds=record(**{mode: list_of(positive, 65) for mode in CPU_MODES})), network=record(interfaces=list_of(constant_interface)), memory=constant_memory,
               disk=record(devices=list_of(record(kind=one_of("disk", "stacked"), discard_ops=maybe(natural), discard_merges=maybe(natural),
                                                  discard_bytes=maybe(natural), discard_time_ms=maybe(natural)))))(
            message["data"]["system"], path + ".data.system")
    if not message["data"]["system"]["cpu"]["cores_usage"]:
        _fail(path + ".data.system.cpu.cores_usage", "is empty")
    for parts, found, place in ((PARTS, message["data"]["system"], path + ".data.system"), (SUBJECTS, message["data"], path + ".data")):
        for name, check in parts.items():
            if name in found:
                check(found[name], f"{place}.{name}")
                positive(found[name].get("age_s", 0), f"{place}.{name}.age_s")
    if "cgroup" in message["data"]:
        record(cgroup_mode=maybe(one_of("v1", "hybrid", "v2")), cgroup=cgroups)(message["data"], path + ".data")
    for i, item in enumerate(message["data"]["system"]["network"]["interfaces"]):
        if item["name"] == "lo":
            _fail(f"{path}.data.system.network.interfaces[{i}]", "is the loopback")
    cuts(message["data"], path + ".data")
    mounts = [m["mount_point"] for m in message["data"]["system"]["disk"]["usage_stats"]]
    if len(mounts) != len(set(mounts)) or "/" not in mounts:
        _fail(path + ".data.system.disk.usage_stats", f"mount points {mounts}")


# -------------------------------------------------------------------------------------------------------- other types

def response(message, path):
    record(id=word, success=boolean, exit_code=integer, stdout=text, stderr=text, execution_time_ms=natural,
           command_type=text, data=anything)(message, path)
    if not message["success"]:
        record(error=word, error_code=one_of(*sorted(CODES)))(message, path)
        if message["exit_code"] == 0:
            _fail(path + ".exit_code", "is 0 of a failure")
    elif message.get("error") or message.get("error_code"):
        _fail(path, "success with an error")
    for key in ("truncated",):
        if key in message:
            boolean(message[key], f"{path}.{key}")
    if message.get("truncated") and len(message["stdout"]) + len(message["stderr"]) > 0 and message["data"] is None:
        record(stdout_bytes=natural, stderr_bytes=natural)(message, path)


def error(message, path):
    record(error=word, details=record(component=word, code=maybe(one_of(*sorted(CODES)))))(message, path)
    reason = message["details"].get("reason")
    if reason is not None and not REASON.match(reason):
        _fail(path + ".details.reason", f"{reason!r} is no lower-case word")


def handshake(message, path):
    record(vm_id=word, version=word, platform=one_of("linux"), generation=generation, capabilities=list_of(word))(message, path)


# ------------------------------------------------------------------------------------------------- data by action

health = record(status=one_of("passed", "warning", "failed"), message=word, details=mapping)
service = record(name=word, display_name=text, status=one_of("running", "exited", "stopped", "failed", "starting", "stopping", "reloading"),
                 description=maybe(text), startup_type=maybe(word), can_start=boolean, can_stop=boolean, can_restart=boolean)
power = record(action=one_of("reboot", "shutdown"), delay_s=natural, at=stamp)

package = record(name=word, version=maybe(text), description=text, installed=boolean, status=maybe(word), held=boolean, publisher=maybe(text), source=word)
pending_update = record(package_name=word, current_version=maybe(text), available_version=word, repository=maybe(text),
                        is_security=boolean, size_kb=maybe(natural), architecture=maybe(text))
updates = record(pending_updates=list_of(pending_update), security_updates_count=natural, total_pending_count=natural,
                 last_check=maybe(stamp), package_manager=one_of("apt", "dnf", "apk"), reboot_required=maybe(boolean), distro=maybe(text),
                 warnings=list_of(word))
application = record(name=word, version=maybe(text), publisher=maybe(text), status=word, held=boolean, install_date=maybe(stamp), size_mb=maybe(positive),
                     current_version=maybe(text), update_available=maybe(word), available_version=maybe(word),
                     new_version=maybe(text), can_update=boolean, update_source=maybe(text),
                     update_size_bytes=maybe(natural), is_security_update=boolean)
applications = record(applications=list_of(application, 5000), warnings=list_of(word),
                      summary=record(total_applications=natural, updates_available=natural, security_updates=natural))
event = record(package_name=word, action=one_of("install", "upgrade", "remove", "purge"), previous_version=maybe(text),
               version=maybe(text), architecture=maybe(text), date=stamp)
history = record(history=list_of(event), days=natural, history_count=natural, history_available=boolean)
all_checks = record(overall_health=one_of("Healthy", "Warning", "Critical"), disk_space=health, resource_optimization=health)
change = record(title=word, install_date=stamp, status=one_of("Succeeded", "Incomplete"))
changes = record(updates=list_of(change, 250), days=natural, history_count=natural, history_available=boolean, history_since=maybe(stamp))
recommendation = record(resource=word, current_value=positive, recommended_value=positive, unit=word, reason=word,
                        potential_savings_percent=percent)
cleanup = record(freed_bytes=natural, space_cleared_mb=positive, files_deleted=natural, cleaned_items=list_of(word), dry_run=boolean, kept_count=natural, error_count=natural)


def every(*checks):
    def check(value, path):
        for one in checks:
            one(value, path)
    return check


def no_null(value, path):
    if "null" in json.dumps(value):
        _fail(path, f"holds a null: {value!r}")


# Beside the checks, in what ValidateSystemHealth says of all of them.
VALIDATION = {"valid": boolean, "failed_units_known": boolean, "failed_units_count": natural, "reboot_due": boolean}


def all_health(value, path):
    """A host takes every key for a check: an object, but for the one word over all."""
    all_checks(value, path)
    for key, check in value.items():
        if key != "overall_health" and key not in VALIDATION:
            health(check, f"{path}.{key}")
    no_null(value, path)


def with_update(value, path):
    record(update_available=word, available_version=word, current_version=word, can_update=one_of(True))(value, path)


def with_updates(value, path):
    """A host shows every row as an update."""
    for i, row in enumerate(value["applications"]):
        with_update(row, f"{path}.applications[{i}]")


def one_or_all(value, path):
    (all_health if "overall_health" in value else health)(value, path)


system_info = record(os_type=word, version=maybe(text), architecture=word, hostname=maybe(word), kernel_version=word, linux_distro=maybe(text))
process_row = record(pid=natural, name=text, cpu_usage=positive, memory_kb=natural, status=one_of(*sorted(STATUSES)), cmd_line=maybe(text),
                     user=anything, start_time=stamp)
disks = record(status=one_of("ok", "warning", "critical"),
               disks=list_of(record(mount_point=word, total_gb=positive, used_gb=positive, available_gb=positive, usage_percent=percent,
                                  inodes_percent=maybe(percent), read_only=boolean, judged=boolean)),
               drives=list_of(record(drive=word, drive_letter=word, label=maybe(text), total_gb=positive, used_gb=positive, free_gb=positive,
                                     available_gb=positive, used_percent=percent)))

DATA = {
    "SystemInfo": system_info,
    "OsInfo": every(system_info, record(available_package_managers=list_of(word), default_shell=maybe(word))),
    "ProcessList": list_of(process_row),
    "ProcessTop": list_of(process_row),
    "CheckDiskSpace": disks,
    "RunMaintenanceTask": mapping,  # that of the action it stands for
    "Status": mapping,
    "PackageList": record(packages=list_of(package)),
    "PackageSearch": record(packages=list_of(package)),
    "PackageInstall": one_of(None),
    "PackageRemove": one_of(None),
    "PackageUpdate": one_of(None),
    "UpdateSystemSoftware": record(updated=list_of(word), reboot_required=maybe(boolean), warnings=list_of(word)),
    "CheckLinuxUpdates": updates,
    "GetLinuxSecurityUpdates": updates,
    "GetPendingLinuxUpdates": updates,
    "GetLinuxUpdateHistory": every(updates, history),
    "GetAvailableUpdates": every(updates, applications),
    "GetPendingUpdates": every(updates, applications),
    "GetSecurityUpdates": every(updates, applications),
    "GetUpdateHistory": changes,
    "CheckApplicationUpdates": every(applications, with_updates),
    "GetInstalledApplicationsWMI": applications,
    "GetApplicationDetails": maybe(record(application=application, metadata=mapping)),
    "CheckSpecificAppUpdates": maybe(application),
    "EstimateUpdateSize": maybe(record(app_id=word, size_bytes=maybe(natural), size_mb=maybe(positive), formatted_size=maybe(word))),
    "RunHealthCheck": every(health, no_null),
    "RunAllHealthChecks": all_health,
    "ValidateSystemHealth": one_or_all,
    "CheckResourceOptimization": record(status=one_of("optimal", "suboptimal"), recommendations=list_of(recommendation),
                                        processes=list_of(record(pid=natural, name=text)), message=word,
                                        history=record(enough=boolean, samples=natural)),
    "CheckSystemIntegrity": every(health, record(changed_files=list_of(record(path=word, flags=word, missing=boolean,
                                                                              config_file=boolean, kind=one_of("damage", "config"))),
                                               details=record(damaged_count=natural, excluded_count=natural, unreadable_count=natural,
                                                              as_root=boolean, complete=boolean))),
    "DiskCleanup": cleanup,
    "CleanTemporaryFiles": cleanup,
    "PrepareGoldenImage": every(cleanup, record(shutdown_scheduled=boolean, grants=list_of(record(file=word, what=word)))),
    "ServiceList": list_of(service),
    "ServiceControl": record(service=word, active_state=word, sub_state=word, enabled=boolean, main_pid=maybe(natural)),
    "RestartServices": record(restarted=list_of(word), failed=list_of(record(name=word, result=word)), denied=list_of(word)),
    "UserList": record(users=list_of(record(name=word, uid=natural, gid=natural, full_name=text, home=text, shell=text,
                                            can_login=boolean)), count=natural, total_count=maybe(natural), source=one_of("local")),
    "ProcessKill": one_of(None),
    "JoinDomain": record(domain=word, restart_scheduled=boolean),
    "RebootSystem": power,
    "ShutdownSystem": power,
    "CheckLinuxSecurity": health,
    "GetLinuxSecurityStatus": health,
    "GetLinuxFirewallStatus": health,
    "CheckFirewallStatus": health,
    "CheckSecurityModules": health,
}


def check_data(action, data):
    """Raises Fault unless this is what a host expects of a successful command of that action."""
    DATA[action](data, action + ".data")


def batch(message, path):
    record(id=maybe(word), last=boolean, samples=list_of(sample, 100))(message, path)


def sample(message, path):
    record(type=one_of("metrics"))(message, path)
    metrics(message, path)


def command_event(message, path):
    record(id=word, action=word, origin=word, state=one_of("accepted", "started", "finished", "refused"))(message, path)
    if message["state"] in ("finished", "refused"):
        record(success=boolean, error_code=maybe(one_of(*sorted(CODES))), duration_ms=natural)(message, path)


CHECKS = {
    "handshake": handshake,
    "metrics": metrics,
    "response": response,
    "error": error,
    "keep_alive": record(sequence_number=natural),
    "error_report": record(error_type=word, severity=one_of("Temporary", "Recoverable", "Unknown"),
                           windows_error_code=one_of(None), retry_attempt=natural, max_retries=natural,
                           recovery_suggestion=maybe(text), vm_id=word),
    "circuit_breaker_state": record(state=one_of("Closed", "Open", "HalfOpen"), failure_count=natural,
                                    last_failure_time=maybe(any_stamp), recovery_eta_seconds=maybe(natural)),
    "agent_event": record(severity=one_of("debug", "info", "warn", "error"), source=word, message=word,
                          executionId=maybe(text), context=anything),
    "request_pending_scripts": record(vm_id=word, request_timestamp=any_stamp),
    "script_completion": record(execution_id=word, exit_code=integer, stdout=text, stderr=text, log_file=one_of(None)),
    "output": record(id=word, stream=one_of("stdout", "stderr"), seq=natural, data=text),
    "lagged": record(topic=one_of("metrics", "events", "commands"), from_seq=natural, count=natural),
    "metrics_batch": batch,
    "command_event": command_event,
    "log_header": record(schema=natural, boot_id=word, generation=generation, first_seq=natural),
}


def check_message(message):
    """Raises Fault for anything a host would refuse."""
    mapping(message, "message")
    kind = message.get("type")
    if kind not in CHECKS:
        _fail("message.type", f"{kind!r} is no type that a host knows")
    record(timestamp=stamp)(message, kind)
    CHECKS[kind](message, kind)


def _no_duplicates(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise Fault(f"an object has a key twice: {keys}")
    return dict(pairs)


def _no_constant(name):
    raise Fault(f"{name} is no JSON")


def parse_line(line):
    """One line (bytes, without its newline) as a host reads it, strictly: ASCII, bounded, one object, no U+0000."""
    if len(line) > LINE_MAX:
        raise Fault(f"a line of {len(line)} bytes")
    if not line.isascii():
        raise Fault(f"bytes beyond ASCII in {line[:80]!r}")
    if len(line.translate(None, CONTROL)) != len(line):
        raise Fault(f"a control character in {line[:80]!r}")
    if b"\\u0000" in line.replace(b"\\\\", b""):
        raise Fault("an escaped U+0000")
    message = json.loads(line, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    mapping(message, "message")
    return message
