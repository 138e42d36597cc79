"""The image and the trial with compose, as far as they can be read: no container engine is needed, and none is asked.

That the build's commands make the same files twice, and that they work, is tried by hand: see CONTRIBUTING.md.
"""

import fnmatch
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import __version__
from sidecar.cli.main import parser
from sidecar.config.load import load

ROOT = Path(__file__).parents[1]
FILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [
    (name, rest)
    for line in re.sub(r"^#.*\n", "", FILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    if line.strip()
    for name, _, rest in [line.partition(" ")]
]
STAGES = [index for index, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM"]
FINAL = INSTRUCTIONS[STAGES[-1] :]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::(?:-([^}]*)|\?[^}]*))?\}")
KEY = "ck_live_" + "a" * 40
SERVICES: dict[str, Any] = yaml.safe_load(
    VARIABLE.sub(lambda match: match[2] or {"SIDECAR_ADMIN_KEY": KEY}[match[1]], (ROOT / "compose.yaml").read_text())
)["services"]
OURS = ("control", "proxy")


def assigned(text: str) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in shlex.split(text))


def all_of(name: str, instructions: list[tuple[str, str]] = INSTRUCTIONS) -> list[str]:
    return [rest for each, rest in instructions if each == name]


def test_every_instruction_is_one() -> None:
    known = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK"}
    assert {name for name, _ in INSTRUCTIONS} == known | {"ENTRYPOINT", "CMD"}


def test_the_image_has_what_was_built_and_nothing_to_build_with() -> None:
    assert len(STAGES) == 2
    assert [rest for rest in all_of("COPY", FINAL) if rest.startswith("--from=")] == [
        "--from=build /opt/sidecar /opt/sidecar"
    ]
    assert not [rest for rest in all_of("RUN", FINAL) if re.search(r"pip|apt|curl|wget", rest)]
    # A tag that moves between minor versions would change what is tested here.
    assert all_of("ARG")[0] == "PYTHON=python:3.11-slim-bookworm"


def test_every_dependency_is_pinned_and_nothing_is_compiled() -> None:
    (install,) = [part for rest in all_of("RUN") for part in rest.split("&&") if "[$EXTRAS]" in part]
    assert "--constraint constraints.txt" in install
    assert "--build-constraint constraints.txt" in install
    assert "--only-binary :all:" in install


def test_what_is_copied_is_sent_to_the_builder_and_secrets_are_not() -> None:
    ignored, *kept = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith(("*", "!"))
    ]
    assert ignored == "*"
    sent = {line[1:] for line in kept if line.startswith("!")}
    copied = {source for rest in all_of("COPY") if not rest.startswith("--") for source in rest.split()[:-1]}
    assert {source.removeprefix("./") for source in copied} == sent
    assert all((ROOT / source).exists() for source in copied)
    assert not [name for name in sent if fnmatch.fnmatch(name, "*.env") or name == ".git"]


def test_it_runs_as_nobody_in_particular_and_says_what_it_is() -> None:
    assert all_of("USER", FINAL) == ["10001:10001"]
    labels = assigned(" ".join(all_of("LABEL", FINAL)))
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert f"VERSION={__version__}" in all_of("ARG", FINAL)


def test_its_settings_are_settings_and_its_ports_those() -> None:
    environ = {
        name: value for name, value in assigned(all_of("ENV", FINAL)[0]).items() if name.startswith("SIDECAR_")
    }
    settings = load(environ=environ).settings
    ports = all_of("EXPOSE", FINAL)[0].split()
    assert settings.proxy.listen == f"0.0.0.0:{ports[0]}"
    assert settings.control.listen == f"0.0.0.0:{ports[1]}"
    assert all_of("VOLUME", FINAL) == [settings.data.dir]
    assert all_of("ENTRYPOINT", FINAL) == ['["sidecar"]']
    assert all_of("CMD", FINAL)[-1] == '["run"]'


@pytest.mark.parametrize("name", OURS)
def test_services_of_the_trial_start_with_settings_that_are_right(name: str) -> None:
    service = SERVICES[name]
    image = assigned(all_of("ENV", FINAL)[0])
    environ = {key: value for key, value in (image | service["environment"]).items() if key.startswith("SIDECAR_")}
    settings = load(environ=environ).settings
    assert callable(parser().parse_args(service["command"]).run)
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    targets = [volume.split(":")[1] for volume in service["volumes"]]
    assert Path(settings.rules.paths[0]) in Path(targets[0]).parents
    assert settings.data.dir in targets
    probed = re.search(r"http://127\.0\.0\.1:(\d+)/readyz", service["healthcheck"]["test"][-1])
    assert probed is not None
    listen = settings.proxy.admin_listen if name == "proxy" else settings.control.listen
    assert listen == f"0.0.0.0:{probed[1]}"


def test_the_proxy_of_the_trial_has_time_to_end() -> None:
    environ = SERVICES["proxy"]["environment"]
    timeouts = load(environ=environ).settings.timeouts
    ends_s = timeouts.shutdown_delay_s + timeouts.shutdown_s + timeouts.shutdown_settle_s
    assert ends_s < int(SERVICES["proxy"]["stop_grace_period"].removesuffix("s"))


def test_parts_of_the_trial_wait_for_what_they_need_and_publish_only_here() -> None:
    for name, service in SERVICES.items():
        for needed, terms in service.get("depends_on", {}).items():
            assert terms == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[needed], f"{name} waits for {needed} for ever"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert not service["image"].endswith(":latest")
        assert ":" in service["image"]
