"""Runs a command and writes what it took, as the kernel counted it.

Usage: measure.py RESULT COMMAND...

RESULT becomes {"code", "wall_s", "user_s", "system_s", "peak_rss_kib"}. CPU is that of the command and of all
children that it waited for; the peak is that of the largest single process among them.
"""

import json
import os
import sys
import time

result, command = sys.argv[1], sys.argv[2:]
started = time.monotonic()
child = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(child, 0)
wall = time.monotonic() - started
with open(result, "w", encoding="utf-8") as output:
    json.dump(
        {
            "code": os.waitstatus_to_exitcode(status),
            "wall_s": wall,
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "peak_rss_kib": usage.ru_maxrss,
        },
        output,
    )
sys.exit(0 if status == 0 else 1)
