"""What the file system says of rule files changes whenever they may have changed, and only then."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.config.rule_files import glance


def rewrite(folder: Path) -> None:
    (folder / "a.yaml").write_text("another")


def rename_over(folder: Path) -> None:
    """As editors do, with as many bytes and the same times."""
    old, new = folder / "a.yaml", folder / "a.yaml.new"
    new.write_text("eno")
    times = old.stat()
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    new.rename(old)


def add(folder: Path) -> None:
    (folder / "c.yaml").write_text("three")


def remove(folder: Path) -> None:
    (folder / "b.yml").unlink()


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def turn_into_a_folder(folder: Path) -> None:
    (folder / "b.yml").unlink()
    (folder / "b.yml").mkdir()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text("one")
    (tmp_path / "b.yml").write_text("two")
    return tmp_path


@pytest.mark.parametrize("change", [rewrite, rename_over, add, remove, empty, turn_into_a_folder])
def test_a_change_shows(folder: Path, change: Callable[[Path], None]) -> None:
    before = glance([folder])
    assert glance([folder]) == before
    change(folder)
    assert glance([folder]) != before


def test_what_is_no_rule_file_does_not_count(folder: Path) -> None:
    before = glance([folder])
    (folder / "a.yaml.swp").write_text("an editor's")
    (folder / ".#a.yaml").symlink_to("somebody@somewhere")
    assert glance([folder]) == before


def test_an_exchanged_link_shows(tmp_path: Path) -> None:
    """As Kubernetes changes a ConfigMap: the file is a link into `..data`, which is a link that is exchanged."""
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "rules.yaml").write_text("same")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "rules.yaml").symlink_to("..data/rules.yaml")
    for watched in (tmp_path, tmp_path / "rules.yaml"):
        before = glance([watched])
        (tmp_path / "..next").symlink_to("..2" if (tmp_path / "..data").readlink().name == "..1" else "..1")
        (tmp_path / "..next").rename(tmp_path / "..data")
        assert glance([watched]) != before


def test_it_never_fails(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    gone = glance([tmp_path / "none.yaml", tmp_path / "loop.yaml", tmp_path / "none"])
    assert len(gone) == 3
    (tmp_path / "none.yaml").write_text("here")
    assert glance([tmp_path / "none.yaml", tmp_path / "loop.yaml", tmp_path / "none"]) != gone
