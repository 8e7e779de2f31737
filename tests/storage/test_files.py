"""Files whole or not at all."""

import pytest

from mvit.storage import files


def test_a_write_that_fails_leaves_the_old_file_and_no_half(tmp_path):
    file = tmp_path / "a.json"
    files.write_json(file, {"a": 1})

    def fail(part):
        part.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.write_whole(file, fail)
    assert file.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [file]


def test_brackets_in_brackets_are_no_json(tmp_path):
    (tmp_path / "a.json").write_text(100_000 * "[")
    assert files.read_json(tmp_path / "a.json") is None
