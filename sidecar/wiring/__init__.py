"""The composition root: the only room that knows how the parts fit together, in which order they start and stop."""

from sidecar.wiring.admin import answering_for_workers
from sidecar.wiring.parts import Injecting, Role, Sidecar
from sidecar.wiring.running import running

__all__ = ["Injecting", "Role", "Sidecar", "answering_for_workers", "running"]
