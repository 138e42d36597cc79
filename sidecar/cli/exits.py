"""How a command ends: its own code, or one sentence on stderr and 1. No traceback for what is not our mistake."""

import sys
from collections.abc import Callable

from sidecar.config.problems import ConfigError
from sidecar.domain.errors import SidecarError


def exit_code(work: Callable[[], int], *, failed: int = 1) -> int:
    """What `work` returns; `failed` with its problems or its sentence when it cannot; 130 when interrupted."""
    try:
        return work()
    except ConfigError as error:
        print(error.detail, file=sys.stderr)
    except SidecarError as error:
        print(f"sidecar: {error.detail}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return failed
