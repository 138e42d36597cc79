"""Becomes another program that gets SIGTERM when the process that started it ends, however it ends.

``python die_with_parent.py <parent pid> <program> <arguments…>``. A launcher of its own instead of code between fork
and exec, which is not safe in a process with threads. Only Linux has the means; elsewhere it is only an exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent_pid, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent_pid):
            sys.exit("The parent ended before its end could be watched.")
    os.execv(command[0], command)  # noqa: S606 — no shell is wanted.


if __name__ == "__main__":
    main()
