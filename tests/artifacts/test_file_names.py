"""Names of files under a folder: order, links, circles, folders that are left out."""

from pathlib import Path

from skufp.artifacts.file_names import files_under


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_names_are_relative_and_sorted_part_by_part(tmp_path: Path) -> None:
    _touch(tmp_path, "b.jpg", "a/2.jpg", "a/1.jpg", "a.jpg", "a/c/3.jpg")
    assert files_under(tmp_path) == ["a/1.jpg", "a/2.jpg", "a/c/3.jpg", "a.jpg", "b.jpg"]
    expected = [str(p.relative_to(tmp_path)) for p in sorted(p for p in tmp_path.rglob("*") if p.is_file())]
    assert files_under(tmp_path) == expected


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    _touch(tmp_path, "root/a/1.jpg", "root/b/2.jpg", "other/3.jpg")
    root = tmp_path / "root"
    (root / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "a" / "other").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(root / "a")  # a -> other -> a
    (root / "b" / "file.jpg").symlink_to(root / "a" / "1.jpg")
    assert files_under(root) == ["a/1.jpg", "a/other/3.jpg", "b/2.jpg", "b/file.jpg", "dangling.jpg"]
    assert files_under(tmp_path / "other") == ["3.jpg", "back/1.jpg"]  # up leads above the folder that it lies in


def test_folders_are_left_out_unless_they_are_the_root(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "runs/b.jpg", "deep/runs/c.jpg", "cache")
    assert files_under(tmp_path, [tmp_path / "runs", tmp_path / "none"]) == ["a.jpg", "cache", "deep/runs/c.jpg"]
    assert files_under(tmp_path / "runs", [tmp_path / "runs", tmp_path]) == ["b.jpg"]
