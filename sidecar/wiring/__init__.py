"""The composition root: the only room that knows how the parts fit together, in which order they start and stop."""

from sidecar.wiring.admin import answering_for_workers
from sidecar.wiring.parts import Role, Sidecar
from sidecar.wiring.running import running

__all__ = ["Role", "Sidecar", "answering_for_workers", "running"]
