"""The launcher that ties a child to its parent."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.store import die_with_parent
from tests.support.until import until_sync

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, sys.argv[1], str(os.getpid()), sys.executable, "-c",
    "import os, time; print(os.getpid(), flush=True); time.sleep(600)"])
child.wait()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")


def test_the_child_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, die_with_parent.__file__], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(10)
    # The pipe ends when the last of its writers has ended.
    assert parent.stdout.read() == b""
    parent.stdout.close()
    until_sync(lambda: not Path(f"/proc/{child_pid}").exists(), "the child to end")


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    command = [sys.executable, die_with_parent.__file__, "1", sys.executable, "-c", "print('ran')"]
    result = subprocess.run(command, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"parent ended" in result.stderr
