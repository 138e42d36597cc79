"""Whether rule files may have changed: what the file system says about them, without reading any.

The one idea: a glance costs a few microseconds for each file and works wherever files can be read, on network and
overlay file systems too, of which no kernel tells. Links are followed, so a Kubernetes ConfigMap whose `..data` link
is exchanged looks different, and so does a file that an editor has put in the place of another.
"""

from collections.abc import Sequence
from pathlib import Path

from sidecar.config.problems import ConfigError
from sidecar.config.rules import rule_files

Glance = tuple[tuple[str | int, ...], ...]
"""For each file its name and what tells one content from another; two that are equal mean that nothing changed."""


def glance(paths: Sequence[Path]) -> Glance:
    """What there is now. It never fails: a file that cannot be looked at is a difference like others."""
    seen: list[tuple[str | int, ...]] = []
    for path in paths:
        try:
            files = rule_files([path])
        except (ConfigError, OSError):
            files = []
        seen += [_look(file) for file in files] or [(str(path),)]
    return tuple(seen)


def _look(file: Path) -> tuple[str | int, ...]:
    try:
        found = file.stat()
    except OSError as error:
        return str(file), error.errno or 0
    return str(file), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
