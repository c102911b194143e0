import os
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.result_files import write_files


def test_files_are_replaced_in_one_step_and_nothing_else_is_left(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "results"
    assert write_files(directory, {"a.txt": b"1", "b.txt": b"2"}) == [
        directory / "a.txt",
        directory / "b.txt",
    ]
    with (directory / "a.txt").open("rb") as reader:
        write_files(directory, {"a.txt": b"longer"})
        assert reader.read() == b"1"
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {
        "a.txt": b"longer",
        "b.txt": b"2",
    }


def test_a_longest_name_leaves_room_for_the_unfinished_file(tmp_path: Path) -> None:
    (path,) = write_files(tmp_path, {"n" * 255: b"1"})
    assert path.read_bytes() == b"1"


def test_links_and_pipes_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    with os.fdopen(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write_files(tmp_path, {"link": b"new", "pipe": b"through"})
        assert reader.read() == b"through"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_directory_that_cannot_be_written_to_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"Cannot write results to .*Choose another directory"):
        write_files(tmp_path / "file", {"a": b""})
