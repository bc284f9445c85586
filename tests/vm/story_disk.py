# SPDX-License-Identifier: MIT
"""A disk that does not take writes: nothing but the log may notice."""

import json
import time

from agent_guest import configured, host, logged, main_pid, restarts
from stories import story

FROZEN_S = 60


@story(rows=[85], limit_s=150)
def a_root_file_system_frozen_for_a_minute_delays_nothing_but_the_log(guest):
    pid = main_pid(guest)
    before = restarts(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 1000\n"):
        with host(guest) as port:
            # What the commands need is read once, so that it is in memory.
            port.execute("echo warm; id", "warm")
            written = logged(guest)
            thaw = guest.background("fsfreeze -f / && sleep %d; fsfreeze -u /" % FROZEN_S, FROZEN_S + 30)
            time.sleep(1)
            begin = time.monotonic()
            slowest = 0
            samples = commands = 0
            while time.monotonic() - begin < FROZEN_S - 5:
                asked = time.monotonic()
                port.keep_alive(commands)
                slowest = max(slowest, time.monotonic() - asked)
                assert port.execute("echo frozen", "frozen%d" % commands, 10)["stdout"] == "frozen\n"
                assert port.ask("ProcessTop", "top%d" % commands, 10)["success"]
                commands += 1
                samples += sum(1 for m in port.seen if m["type"] == "metrics")
                del port.seen[:]
                time.sleep(max(0, asked + 1 - time.monotonic()))
            assert samples >= FROZEN_S - 5 - 6, samples
            assert slowest < 0.5, slowest
            status = port.status()
            thaw()
            time.sleep(3)
            after = port.status("thawed")
            caught_up = logged(guest) - written
            lost = after["log"]["dropped"]
            assert caught_up + lost >= samples, (caught_up, lost, samples, status["log"], after["log"])
            assert after["log"]["state"] == "ok", after["log"]
    assert main_pid(guest) == pid and restarts(guest) == before


@story(rows=[60], limit_s=60)
def a_torn_tail_is_read_around_and_cut_off_at_the_next_start(guest):
    guest.sh("systemctl kill -s KILL --kill-who=all infiniservice; systemctl stop infiniservice")
    active = guest.sh("ls /var/log/infiniservice/*.ndjson | tail -n 1")
    guest.sh("printf '{\"type\":\"metrics\",\"timest' >>%s" % active)
    assert int(guest.sh("infinictl log --json 2>/dev/null | wc -l")) > 0
    guest.sh("systemctl start infiniservice")
    time.sleep(1)
    for line in guest.sh("cat /var/log/infiniservice/*.ndjson").splitlines():
        assert json.loads(line)["type"] in ("metrics", "log_header"), line[:200]
