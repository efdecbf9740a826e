"""The registry of a git revision, through real git and real DVC."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import NotFoundError, RegistryFormatError, StorageError, UnknownNameError, UsageError
from registry.history import checkout as revisions
from registry.history.checkout import checkout
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.repositories import LARGER_SPLIT, Project, make_added

Make = Callable[[], Project]


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a copy of the project, in the working directory."""
    shutil.copytree(template / "project", tmp_path / "project")
    shutil.copytree(template / "storage", tmp_path / "storage")
    monkeypatch.chdir(tmp_path / "project")
    return Project(tmp_path / "project")


def num_images(folder: Path | str, split: str = "train") -> int:
    (row,) = registry.open(str(folder)).sql("SELECT count(*) FROM images WHERE split = $s", {"s": split}).fetchall()
    return int(row[0])


def state_of(root: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, size and time of every file in a work tree, DVC's and git's own folders left out."""
    paths = (path for path in root.rglob("*") if not {".git", ".dvc"} & set(path.relative_to(root).parts))
    stats = {str(path): path.lstat() for path in paths}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def test_an_old_revision_is_open_while_the_work_tree_has_the_new_one_and_stays_untouched(project: Project) -> None:
    before, status = state_of(project.root), project.git("status", "--porcelain")
    with registry.open(rev="v1.0")._cursor() as old:
        assert old.sql("SELECT count(*) FROM images WHERE split = 'train'").fetchall() == [(5,)]
    assert num_images(project.registry) == 6
    assert state_of(project.root) == before
    assert project.git("status", "--porcelain") == status == ""


def test_a_revision_is_whole_and_the_same_as_the_registry_it_was_committed_from(project: Project) -> None:
    folder = checkout("v2.0")
    assert verify_registry(Place(str(folder))).is_whole
    assert not verify_registry(Place(str(folder))).extra
    names = {path.relative_to(project.registry) for path in project.registry.rglob("*") if path.is_file()}
    assert {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} == names
    assert (folder / "manifest.json").read_bytes() == (project.registry / "manifest.json").read_bytes()


def test_a_dirty_work_tree_is_no_hindrance(project: Project) -> None:
    (project.registry / "manifest.json").write_text("half-made")
    (project.root / "dvc.yaml").write_text("not: [yaml")
    (project.root / "dvc.lock").unlink()
    status = project.git("status", "--porcelain")
    assert num_images(checkout("HEAD")) == 6
    assert project.git("status", "--porcelain") == status


def test_files_are_links_to_the_cache_and_take_no_space(project: Project) -> None:
    assert all(path.stat().st_nlink > 1 for path in checkout("v1.0").rglob("*") if path.is_file())


def test_what_is_in_the_cache_is_not_asked_of_the_remote(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "storage")
    assert num_images(checkout("v1.0", fetch=False)) == 5


def test_data_is_fetched_once(project: Project, tmp_path: Path) -> None:
    project.forget()
    said: list[str] = []
    folder = checkout("v1.0", progress=said.append)
    assert said == ["Fetching data/registry at v1.0 ..."]
    shutil.rmtree(tmp_path / "storage")
    assert checkout("v1.0", progress=said.append) == folder
    assert num_images(folder) == 5
    shutil.rmtree(project.root / ".dvc/tmp/df2")
    assert num_images(checkout("v1.0", progress=said.append)) == 5, "DVC's cache has it"
    assert len(said) == 1


def test_the_second_call_does_without_dvc(project: Project) -> None:
    folder = checkout("v1.0")
    script = (
        "import sys; from registry.history.checkout import checkout; print(checkout('v1.0'));"
        "sys.exit(any(name.split('.')[0] in ('dvc', 'dvc_data', 'scmrepo') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(folder)


def test_nothing_is_printed_while_data_is_fetched_or_missing(
    project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project.forget()
    checkout("v1.0")
    shutil.rmtree(tmp_path / "storage/files")
    with pytest.raises(StorageError):
        checkout("v2.0")
    assert capfd.readouterr() == ("", "")


def test_only_what_lies_below_the_path_is_fetched(project: Project) -> None:
    (project.root / "large").write_text("a large file that the registry does not need")
    with project.dvc() as repo:
        repo.add("large")
        repo.push()
    project.commit("Something else", "v3.0")
    project.forget()
    folder = checkout("v3.0")
    cached = [path for path in (project.root / ".dvc/cache").rglob("*") if path.is_file()]
    assert len([path for path in cached if path.suffix != ".dir"]) == len({p.read_bytes() for p in files_of(folder)})


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_garbage_collection_takes_nothing_from_a_revision_that_is_open(project: Project, tmp_path: Path) -> None:
    opened = registry.open(rev="v1.0")
    with project.dvc() as repo:
        repo.gc(workspace=True)
    shutil.rmtree(tmp_path / "storage")
    assert opened.sql("SELECT count(*) FROM items").fetchall() == [(9,)]
    assert num_images(checkout("v1.0")) == 5


def test_what_garbage_collection_took_is_fetched_again(project: Project) -> None:
    folder = checkout("v1.0")
    with project.dvc() as repo:
        repo.gc(workspace=True)
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match=r"not in the cache .* nothing is fetched"):
        checkout("v1.0", fetch=False)
    assert num_images(checkout("v1.0")) == 5


def test_a_folder_that_lost_a_file_is_made_again(project: Project) -> None:
    folder = checkout("v1.0")
    sorted(folder.glob("items/*/*/*.parquet"))[0].unlink()
    assert checkout("v1.0") == folder
    assert verify_registry(Place(str(folder))).is_whole


def test_what_a_killed_process_left_behind_is_cleared(project: Project) -> None:
    left = project.root / ".dvc/tmp/df2/.staging-x/files"
    left.mkdir(parents=True)
    folder = checkout("v1.0")
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_without_hard_links_files_are_copied(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted", source)

    monkeypatch.setattr(revisions.os, "link", link)
    folder = checkout("v1.0")
    assert all(path.stat().st_nlink == 1 for path in files_of(folder))
    assert num_images(folder) == 5


def open_in_process(root: str, rev: str) -> int:
    os.chdir(root)
    return num_images(checkout(rev))


def test_processes_and_threads_at_once_all_get_the_whole_registry(project: Project) -> None:
    project.forget()
    context = multiprocessing.get_context("spawn")
    found: list[int] = []
    with context.Pool(2) as pool:
        elsewhere = pool.starmap_async(open_in_process, [(str(project.root), rev) for rev in ("v1.0", "v2.0") * 2])
        threads = [
            threading.Thread(target=lambda rev=rev: found.append(num_images(checkout(rev))))
            for rev in ("v1.0", "v2.0") * 2
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert elsewhere.get(60) == [5, 6, 5, 6]
    assert sorted(found) == [5, 5, 6, 6]


@pytest.mark.parametrize("where", ["path", "file://", "bare"])
def test_another_repository_is_read_by_path_and_by_url(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "bare":  # its remote must be one that everybody can read
        project.set_remote(str(tmp_path / "storage"))
        project.commit("A remote for everybody")
        subprocess.run(["git", "clone", "-q", "--bare", ".", tmp_path / "bare.git"], check=True)
    repo = {"path": str(project.root), "file://": f"file://{project.root}", "bare": str(tmp_path / "bare.git")}[where]
    monkeypatch.chdir(tmp_path)
    status = project.git("status", "--porcelain")
    assert registry.open(rev="v1.0", repo=repo).sql("SELECT count(*) FROM items").fetchall() == [(9,)]
    assert num_images(checkout("v2.0", repo)) == 6
    assert project.git("status", "--porcelain") == status
    own = tmp_path / "user-cache/deepfashion2-registry"
    assert own.exists() == (where != "path")
    if where != "path":
        assert own.stat().st_mode & 0o777 == 0o700
        shutil.rmtree(tmp_path / "storage")
        shutil.rmtree(project.root)
        assert num_images(checkout("v2.0", repo)) == 6, "a tag needs no connection once it was read"


def test_a_branch_of_a_url_is_where_it_is_now(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = f"file://{project.root}"
    assert num_images(checkout("main", repo)) == 6
    project.git("checkout", "-q", "v1.0", "--", "dvc.lock")
    commit = project.commit("Back", "v1.1")
    assert num_images(checkout("main", repo)) == 5
    assert checkout("v1.1", repo) == checkout(commit, repo) == checkout(commit[:9], repo) == checkout("main", repo)
    project.root.rename(project.root.parent / "gone")
    monkeypatch.chdir(project.root.parent)
    assert num_images(checkout(commit[:9], repo)) == 5
    with pytest.raises(StorageError, match=r"Cannot ask file:.* where main is now"):
        checkout("main", repo)


def test_dvc_may_lie_below_the_top_of_the_git_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_added(tmp_path, "../../../../storage", subdir="mono/fashion")
    project.push()
    top = tmp_path / "project"
    project.ingest("train", LARGER_SPLIT)
    for working, repo, path in [
        (project.root, None, "data/registry"),
        (project.root / "data", None, "data/registry"),
        (project.root / "data", None, "../data/registry"),
        (tmp_path, str(project.root), "data/registry"),
        (tmp_path, str(top), "mono/fashion/data/registry"),
        (tmp_path, None, str(project.registry)),
        (tmp_path, f"file://{top}", "mono/fashion/data/registry"),
    ]:
        monkeypatch.chdir(working)
        assert num_images(checkout("v1.0", repo, path)) == 5
        assert project.git("status", "--porcelain") == ""


def test_an_imported_registry_is_read_and_fetched_from_where_it_was_imported(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = make_added(tmp_path / "producer")
    producer.push()
    consumer = Project(tmp_path / "consumer")
    consumer.init()
    (consumer.root / "data").mkdir()
    with consumer.dvc() as repo:
        repo.imp(str(producer.root), "data/registry", out="data/registry", rev="v1.0")
    consumer.commit("Imported", "v0.1")
    monkeypatch.chdir(consumer.root)
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    hidden = producer.root.rename(tmp_path / "hidden")
    assert num_images(checkout("v0.1")) == 5
    consumer.forget()
    with pytest.raises(
        StorageError, match=f"nor in {producer.root}, which is not there, from where it was imported: data/reg"
    ):
        checkout("v0.1")
    hidden.rename(producer.root)
    assert num_images(checkout("v0.1")) == 5
    assert not list(temporary.glob("*dvc-*")), "clones of DVC"


def test_files_that_git_tracks_itself_are_there_too(project: Project) -> None:
    manifest = (project.registry / "manifest.json").read_bytes()
    text = (project.root / "dvc.yaml").read_text()
    (project.root / "dvc.yaml").write_text(text.replace("- data/registry/manifest.json: {persist: true}", ""))
    (project.root / ".gitignore").write_text(
        "/data/*\n!/data/registry\n/data/registry/*\n!/data/registry/manifest.json\n"
    )
    project.lock()
    project.commit("The manifest in git", "v3.0")
    assert "data/registry/manifest.json" in project.git("ls-files")
    folder = checkout("v3.0")
    assert (folder / "manifest.json").read_bytes() == manifest
    assert num_images(folder) == 6


def test_an_unknown_revision_is_an_error_that_lists_the_tags(project: Project) -> None:
    with pytest.raises(UnknownNameError, match=r"There is no revision 'v9' in .*/project; its tags are v2.0.*v1.0\."):
        checkout("v9")
    with pytest.raises(UnknownNameError, match="There is no revision '--all'"):
        checkout("--all")
    with pytest.raises(UnknownNameError, match=r"There is no revision 'v9' in file:.*; its tags are"):
        checkout("v9", f"file://{project.root}")


def test_a_path_that_is_not_tracked_is_an_error_that_says_what_is(project: Project) -> None:
    with pytest.raises(NotFoundError) as caught:
        checkout("v1.0", path="data/other")
    assert "There is no data/other at v1.0" in str(caught.value)
    assert "DVC tracks there: data/registry/categories, data/registry/corrections/split=train, " in str(caught.value)
    with pytest.raises(RegistryFormatError, match=r"data/registry/items at v1.0 has no manifest.json"):
        checkout("v1.0", path="data/registry/items")
    with pytest.raises(NotFoundError, match=r"There is no data/registry/manifest\.json at v1\.0"):
        checkout("v1.0", path="data/registry/manifest.json")
    for outside in ("../elsewhere", "/nowhere/registry"):
        with pytest.raises(UsageError, match="leads out of the repository"):
            checkout("v1.0", str(project.root), outside)
    with pytest.raises(RegistryFormatError, match=r"has no manifest\.json"):
        checkout("v1.0", path=".")
    with pytest.raises(UsageError, match="is a URL"):
        checkout("v1.0", path="s3://bucket/registry")


def test_places_without_a_repository_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="is not in a git repository"):
        checkout("v1.0")
    with pytest.raises(NotFoundError, match="There is no folder"):
        checkout("v1.0", "nowhere")
    with pytest.raises(StorageError, match="Cannot clone file:///nowhere"):
        checkout("v1.0", "file:///nowhere")
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(NotFoundError, match="is in a git repository without DVC"):
        checkout("v1.0")


def test_missing_data_is_an_error_that_names_the_remote_and_the_remedy(project: Project, tmp_path: Path) -> None:
    hidden = (project.root / ".dvc/cache").rename(tmp_path / "hidden")
    content = sorted((project.registry / "images/split=train").iterdir())[0]
    (stored,) = (path for path in files_of(tmp_path / "storage") if path.read_bytes() == content.read_bytes())
    stored.unlink()
    with pytest.raises(StorageError) as caught:
        checkout("v2.0")
    assert str(caught.value) == (
        f"data/registry at v2.0 is not whole. Neither in the cache {project.root}/.dvc/cache nor in the remote "
        f"'storage' ({tmp_path}/storage): images/split=train/{content.name}.\n"
        "Where the data still is, check out v2.0 and run 'dvc push'. ('dvc push -T' and '-A' take a relative url for "
        "one below '/', and push it there.)"
    )
    shutil.rmtree(tmp_path / "storage")
    with pytest.raises(StorageError, match=r"storage, which is not there\): .* and \d+ more\."):
        checkout("v1.0")
    shutil.rmtree(project.root / ".dvc/cache")
    hidden.rename(project.root / ".dvc/cache")
    project.push()
    project.forget()
    assert num_images(checkout("v2.0")) == 6


def test_a_revision_without_a_remote_is_fetched_from_the_remote_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_added(tmp_path, remote=None)
    project.set_remote("../../storage")
    project.push()
    project.commit("A remote")
    project.forget()
    monkeypatch.chdir(project.root)
    assert num_images(checkout("v1.0")) == 5
    assert num_images(checkout("v1.0", f"file://{project.root}")) == 5


def test_credentials_for_the_remote_of_now_do_not_spoil_an_older_one(project: Project) -> None:
    project.set_remote("s3://bucket/df2")
    secrets = "['remote \"storage\"']\n    access_key_id = someone\n    secret_access_key = hunter2222\n"
    (project.root / ".dvc/config.local").write_text(secrets)
    assert num_images(checkout("v1.0")) == 5
    project.set_remote("../../storage")  # and the other way round
    (project.root / ".dvc/config.local").unlink()
    project.commit("A folder again", "v3.0")
    project.forget()
    assert num_images(checkout("v3.0")) == 6


def push_tags() -> str:
    """Return what 'dvc push -T' prints."""
    command = [sys.executable, "-m", "dvc", "push", "-T"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_revision_without_a_remote_whose_data_was_never_pushed_names_the_trap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_added(tmp_path, remote=None)
    monkeypatch.chdir(project.root)
    hidden = (project.root / ".dvc/cache").rename(tmp_path / "hidden")
    with pytest.raises(StorageError, match="It has no default remote: 'dvc remote add -d NAME URL' makes one"):
        checkout("v1.0")
    project.set_remote(str(tmp_path / "storage"))
    project.commit("A remote")
    with pytest.raises(StorageError) as caught:
        checkout("v1.0")
    remedy = f"run 'dvc remote add --local -d storage {tmp_path}/storage' and then 'DVC_SITE_CACHE_DIR="
    assert "The .dvc/config committed at v1.0 names no remote; 'dvc push -T' and '-A' leave" in str(caught.value)
    assert remedy in str(caught.value)
    # The trap, and the remedy, are as they say.
    hidden.rename(project.root / ".dvc/cache")
    project.git("rm", "-q", "--cached", "data/registry.dvc")
    project.git("commit", "-q", "-m", "No data now")
    (project.root / "data/registry.dvc").unlink()
    assert "Everything is up to date" in push_tags()
    (project.root / ".dvc/config.local").write_text((project.root / ".dvc/config").read_text())
    assert "pushed" in push_tags()
    shutil.rmtree(project.root / ".dvc/cache")
    assert num_images(checkout("v1.0")) == 5


def test_a_remote_that_others_cannot_reach_is_refused_with_its_reason(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "clone", "-q", "--bare", ".", tmp_path / "bare.git"], check=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=r"'storage' of .*bare.git is ../../storage, relative to the checkout"):
        checkout("v1.0", str(tmp_path / "bare.git"))


def test_secrets_in_the_address_of_a_remote_or_a_repository_are_not_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.set_remote("http://someone:hunter22@127.0.0.1:1/storage")
    project.forget()
    with pytest.raises(StorageError) as caught:
        checkout("v1.0")
    assert "http://127.0.0.1:1/storage" in str(caught.value)
    assert "hunter22" not in str(caught.value)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:http")
    for address in ("http://someone:hunter22@127.0.0.1:1/x.git", "http://hunter22@127.0.0.1:1/x.git"):
        with pytest.raises(StorageError, match=r"Cannot clone http://127\.0\.0\.1:1/x\.git") as caught:
            checkout("v1.0", address)
        assert "hunter22" not in str(caught.value)


def test_a_revision_that_was_committed_half_made_is_refused(project: Project) -> None:
    lock = (project.root / "dvc.lock").read_text()
    (project.root / "dvc.lock").write_text(lock[: lock.index("  manifest:\n")])
    project.commit("Too early", "v3.0")
    with pytest.raises(RegistryFormatError, match=r"v3.0 of .* has no data for .*committed before 'dvc repro'"):
        checkout("v3.0")


def test_a_list_of_files_cannot_lead_out_of_the_folder(project: Project, tmp_path: Path) -> None:
    for listing in (project.root / ".dvc/cache").rglob("*.dir"):
        entries: list[dict[str, Any]] = json.loads(listing.read_bytes())
        entries[0]["relpath"] = "../../../../../escaped"
        listing.chmod(0o644)
        listing.write_text(json.dumps(entries))
    for rev in ("v1.0", "v2.0"):
        with pytest.raises((RegistryFormatError, StorageError)) as caught:
            checkout(rev)
    assert caught.value
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"md5: [0-9a-f]{32}\n", "md5: ../../../../escaped\n", r"has the hash '\.\./\.\./.*expected hex digits"),
        (
            r"md5: [0-9a-f]{32}\.dir\n",
            "md5: /etc/hostname.dir\n",
            "has the hash '/etc/hostname.dir'.*expected hex digits",
        ),
        (r"md5: [0-9a-f]{32}\n", 'md5: "zz\\u202E"\n', "expected hex digits"),
        (r"md5: [0-9a-f]{32}\n", "md5: [1, 2]\n", "DVC cannot read"),
    ],
)
def test_a_lock_of_dvc_with_hashes_that_are_none_is_refused(
    project: Project, tmp_path: Path, old: str, new: str, message: str
) -> None:
    lock = project.root / "dvc.lock"
    lock.write_text(re.sub(old, lambda _: new, lock.read_text()))
    project.commit("Hostile", "v3.0")
    (tmp_path / "escaped").write_text("precious")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.iterdir())
    with pytest.raises(RegistryFormatError, match=message):
        checkout("v3.0")
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.iterdir()) == before
    assert (tmp_path / "escaped").read_text() == "precious"


@pytest.mark.parametrize(
    "rev", ["--upload-pack=touch x", "-x", "v1.0^{/x", "a..b", "v1.0:dvc.lock", "\x1b[31m", "a\nb", ""]
)
def test_a_revision_is_no_option_of_git_and_nothing_but_a_commit(project: Project, rev: str) -> None:
    with pytest.raises((NotFoundError, UsageError)) as caught:
        checkout(rev)
    assert "\x1b" not in str(caught.value)
    assert not list(project.root.rglob("x"))


def test_a_hook_of_git_does_not_lead_to_another_repository(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere/.git")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert num_images(checkout("v1.0", str(project.root))) == 5
