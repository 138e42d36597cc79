"""A real API server with its etcd, for tests that opt in: ``KUBE_APISERVER=/path/to/kube-apiserver``, etcd beside it.

There is no kubelet, no controller and no network of pods: what is created stays as it was admitted.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.injector.authority import Files, authority
from tests.support.ports import free_ports

BINARY = Path(os.environ.get("KUBE_APISERVER", "/nowhere"))
TOKEN = "a-token-for-the-administrator"
START_S = 120.0

Json = dict[str, Any]


def is_here() -> bool:
    return BINARY.is_file() and BINARY.with_name("etcd").is_file() and shutil.which("kubectl") is not None


class RealApi:
    """The server at `port`, spoken to by kubectl and by whoever has `folder`'s token and authority."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.folder = folder

    def kubectl(self, *arguments: str, given: object = None) -> subprocess.CompletedProcess[str]:
        """`given` is sent to its standard input, as JSON."""
        server = ["--server", f"https://127.0.0.1:{self.port}", "--token", TOKEN]
        trust = ["--certificate-authority", str(self.folder / "ca.crt"), "--cache-dir", str(self.folder / "cache")]
        return subprocess.run(
            ["kubectl", *server, *trust, *arguments],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def succeeds(self, *arguments: str, given: object = None) -> str:
        ran = self.kubectl(*arguments, given=given)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def version(self) -> tuple[int, int]:
        server = json.loads(self.succeeds("version", "-o", "json"))["serverVersion"]
        return int(server["major"]), int(server["minor"].rstrip("+"))


@contextmanager
def real_api(folder: Path) -> Iterator[RealApi]:
    etcd_port, peer_port, port = free_ports(3)
    authority().cert_pem.write_to_path(str(folder / "ca.crt"))
    (folder / "token").write_text(TOKEN)
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    files = Files.of(folder)
    files.write()
    etcd = f"http://127.0.0.1:{etcd_port}"
    peer = f"http://127.0.0.1:{peer_port}"
    urls = ["--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer]
    peers = ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    with ExitStack() as stack:
        _start(stack, folder, BINARY.with_name("etcd"), "--data-dir", str(folder / "etcd"), *urls, *peers)
        _start(
            stack,
            folder,
            BINARY,
            *("--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", str(port)),
            *("--tls-cert-file", str(files.cert), "--tls-private-key-file", str(files.key)),
            *("--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC"),
            *("--service-account-issuer", "https://kubernetes.default.svc", "--cert-dir", str(folder)),
            *("--service-account-key-file", str(files.key), "--service-account-signing-key-file", str(files.key)),
            # No controller makes service accounts here.
            *("--disable-admission-plugins", "ServiceAccount", "--service-cluster-ip-range", "10.0.0.0/24"),
        )
        api = RealApi(port, folder)
        give_up_at = time.monotonic() + START_S
        while api.kubectl("get", "--raw", "/readyz").returncode != 0:
            assert time.monotonic() < give_up_at, (folder / f"{BINARY.name}.log").read_text()[-2000:]
            time.sleep(0.5)
        yield api


def _start(stack: ExitStack, folder: Path, binary: Path, *arguments: str) -> None:
    log = stack.enter_context((folder / f"{binary.name}.log").open("wb"))
    process = stack.enter_context(subprocess.Popen([binary, *arguments], stdout=log, stderr=log, cwd=folder))
    stack.callback(process.terminate)
