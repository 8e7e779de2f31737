"""What tells that a folder has changed."""


from mvit.storage.files import version


def test_a_folder_s_version_changes_with_its_files(tmp_path):
    versions = [version(tmp_path / "none"), version(tmp_path)]
    for text in ("a", "ab"):
        (tmp_path / "file").write_text(text)
        versions.append(version(tmp_path))
    assert versions[:2] == [(), ()]
    assert len(set(versions)) == 3
    assert version(tmp_path) == versions[-1]
