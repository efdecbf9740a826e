"""The data of the committed pipeline on remotes of DVC: pushed, pulled and imported, through real servers."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import registry
from registry.ingest.build import ingest
from registry.snapshot.manifest import read_manifest
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.helpers import SMALL_SPLIT, write_split
from tests.made_once import made_once
from tests.repositories import LARGER_SPLIT, Project, set_apart
from tests.servers.gcs import GCSServer
from tests.servers.http import HTTPServer
from tests.servers.s3 import S3Server
from tests.servers.ssh import SSHServer
from tests.servers.webdav import WebDAVServer

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
DOCS = "".join(
    (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8") for page in ("remotes.md", "dvc-remotes.md")
)
#: What is committed with each version.
COMMITTED = (
    *("dvc.lock", "metrics/counts.json", "metrics/checks.json"),
    *("metrics/category_counts.csv", "metrics/attribute_counts.csv"),
)

#: Runs commands of DVC one after another, up to the first that fails. In a process of its own: DVC leaves connections
#: open, and exchanges the streams of the process that it is in.
DVC = """
import json, sys
from dvc.cli import main
sys.exit(next(filter(None, map(main, json.loads(sys.argv[1]))), 0))
"""


@dataclass(frozen=True)
class Remote:
    """A remote of DVC: what is committed of it, and what is not."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def committed(self) -> str:
        """The text of ``.dvc/config``."""
        return f"[core]\n    remote = storage\n{_section({'url': self.url, **self.options})}"

    @property
    def local(self) -> str:
        """The text of ``.dvc/config.local``."""
        return _section(self.secrets)


def _section(options: Mapping[str, str]) -> str:
    return "\n".join(["['remote \"storage\"']", *(f"    {name} = {value}" for name, value in options.items()), ""])


@dataclass(frozen=True)
class Shared:
    """A repository whose tags v1.0 and v2.0 were pushed, with their data, and what is in them."""

    project: Project
    remote: Remote

    @property
    def counts(self) -> dict[str, Any]:
        """Version -> its counts."""
        return {tag: json.loads(self.project.git("show", f"{tag}:metrics/counts.json")) for tag in ("v1.0", "v2.0")}

    @property
    def url(self) -> str:
        """What others clone; DVC does not look into the cache of the checkout, as this is a URL."""
        return f"file://{self.project.root}"

    def clone(self, root: Path) -> Project:
        """Return a clone with the secrets of its user."""
        subprocess.run(["git", "clone", "-q", self.url, root], check=True)
        (root / ".dvc/config.local").write_text(self.remote.local)
        return Project(root)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of :func:`make_template`, which no test changes."""
    return made_once(tmp_path_factory, "committed-pipeline", make_template)


def make_template(folder: Path) -> None:
    """Create the committed pipeline in a folder, its data in two versions in DVC's cache, and no remote."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_apart(monkeypatch, folder)
        project = Project(folder / "project")
        project.init()
        for name in ("dvc.yaml", ".gitignore", ".dvcignore"):
            shutil.copy(ROOT / name, project.root / name)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        del params["splits"]["validation"], params["splits"]["test"]  # DVC has a new connection for every folder
        (project.root / "params.yaml").write_text(yaml.safe_dump(params))
        dependencies = set(re.findall(r"^ +- ((?!data/)[\w./-]+)$", (ROOT / "dvc.yaml").read_text(), re.MULTILINE))
        for name in sorted(name for name in dependencies if (ROOT / name).exists()):
            file = project.root / name if (ROOT / name).is_file() else project.root / name / "code"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        for version, train in (("v1.0", SMALL_SPLIT), ("v2.0", LARGER_SPLIT)):
            _make_outputs(project, train)
            project.lock()
            for name in COMMITTED:
                kept = folder / version / name
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project.root / name, kept)


def _make_outputs(project: Project, train: Mapping[int | str, Any]) -> None:
    """Make what the stages of the pipeline make, without ten processes that start."""
    raw = project.root / "data/sample"
    shutil.rmtree(raw, ignore_errors=True)
    (project.root / "data/fingerprints").mkdir(parents=True, exist_ok=True)
    ingest("train", str(write_split(raw / "train", train)), str(project.registry), jobs=1)
    (project.root / "data/fingerprints/train.json").write_text(json.dumps(len(train)))
    project.count()
    for name in COMMITTED[2:]:
        (project.root / name).write_text("num_items\n" if name.endswith(".csv") else "{}\n")
    opened = registry.open(str(project.registry))
    registry.export(opened, "coco", str(project.root / "data/exports/easy-skirts"), overwrite=True)
    (project.root / "data/report.html").write_text(f"{len(train)} images")


def make_version(project: Project, template: Path, version: str) -> None:
    """Commit and tag a version; its data is in the cache."""
    for name in COMMITTED:
        (project.root / name).parent.mkdir(exist_ok=True)
        shutil.copy(template / version / name, project.root / name)
    project.commit(f"Data {version}", version)


def make_project(template: Path, folder: Path, remote: Remote | None) -> Project:
    """Return a repository without a commit, whose data is in the cache."""
    shutil.copytree(template / "project", folder / "project")
    project = Project(folder / "project")
    if remote:
        (project.root / ".dvc/config").write_text(remote.committed)
        (project.root / ".dvc/config.local").write_text(remote.local)
    return project


def share(template: Path, folder: Path, remote: Remote) -> Shared:
    """Return a repository with two tags whose data was pushed to a remote."""
    project = make_project(template, folder, remote)
    for version in ("v1.0", "v2.0"):
        make_version(project, template, version)
    dvc(project, "push -T")
    return Shared(project, remote)


def make_remote(kind: str, request: pytest.FixtureRequest, folder: Path) -> Remote:
    """Return a place of a kind that nobody else uses."""
    name = folder.name
    if kind == "s3":
        s3: S3Server = request.getfixturevalue("seaweedfs")
        secrets = {"access_key_id": s3.key, "secret_access_key": s3.secret}
        return Remote(f"{s3.make_bucket(name)}/dvc", {"endpointurl": s3.endpoint_url}, secrets)
    if kind == "ssh":
        ssh: SSHServer = request.getfixturevalue("ssh_server")
        return Remote(ssh.url(name), secrets=ssh.dvc_config)
    if kind == "webdav":
        webdav: WebDAVServer = request.getfixturevalue("webdav_server")
        (webdav.root / name).mkdir()  # DVC makes folders in it, but not itself
        return Remote(webdav.url(name), {"user": webdav.user}, {"password": webdav.password})
    return Remote(str(folder / "storage"))


KINDS = [
    pytest.param("folder", marks=pytest.mark.xdist_group("dvc")),
    pytest.param("s3", marks=pytest.mark.xdist_group("seaweedfs")),
    pytest.param("ssh", marks=pytest.mark.xdist_group("ssh")),
    pytest.param("webdav", marks=pytest.mark.xdist_group("dvc")),
]


@pytest.fixture(scope="module", params=KINDS)
def shared(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    """Yield a repository whose data is on a remote of each kind; no test changes it."""
    folder = tmp_path_factory.mktemp(f"dvc-{request.param}-")
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_apart(monkeypatch, folder)
        yield share(template, folder, make_remote(request.param, request, folder))


def counts(folder: Path) -> Any:
    """Return the counts of a registry that is whole."""
    found = verify_registry(Place(str(folder)))
    assert (found.missing, found.changed, found.extra) == ((), (), ())
    return json.loads(json.dumps(registry.open(str(folder)).stats()))


def run(folder: Path, *command: str, expect: int = 0) -> str:
    """Return what a program says, which ends with the exit code that is expected."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(project: Project, *commands: str, expect: int = 0) -> str:
    """Return what DVC says to commands; the last one that runs ends with the exit code that is expected."""
    arguments = json.dumps([shlex.split(command) for command in commands])
    return run(project.root, sys.executable, "-c", DVC, arguments, expect=expect)


def lines_of(name: str, places: Mapping[str, str]) -> str:
    """Return the lines of the pages that have a name, with other places."""
    (lines,) = re.findall(rf"<!-- test: {name} -->\n```sh\n(.*?)```", DOCS, re.DOTALL)
    for other, place in places.items():
        lines = lines.replace(other, place)
    return str(lines)


def commands_of_dvc(name: str, places: Mapping[str, str]) -> list[str]:
    """Return those of the lines that are commands of DVC, for a single process of it."""
    return re.findall(r"^dvc (.*?)(?: +#.*)?$", lines_of(name, places), re.MULTILINE)


def documented(project: Project, name: str, places: Mapping[str, str] = {}, **environment: str) -> str:
    """Run the lines of the pages that have a name, with other places; return their output."""
    lines = lines_of(name, places)
    settings = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(project.root.parent)}
    settings |= environment
    return run(project.root, "env", *(f"{name}={value}" for name, value in settings.items()), "bash", "-euc", lines)


def test_a_clone_pulls_a_version_whole_and_opens_the_one_before(shared: Shared, tmp_path: Path) -> None:
    clone = shared.clone(tmp_path / "clone")
    script = "import json, registry; from dvc.cli import main; assert main(['pull']) == 0; "
    script += "print('', json.dumps(registry.open(rev='v1.0').stats()), sep='\\n')"
    said = run(clone.root, sys.executable, "-c", script)
    assert counts(clone.registry) == shared.counts["v2.0"] != shared.counts["v1.0"]
    assert shared.counts["v1.0"] in [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert clone.git("status", "--porcelain") == ""


def test_another_repository_gets_imports_and_updates_a_version(shared: Shared, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    other.init()
    secrets = tmp_path / "secrets"
    secrets.write_text(shared.remote.local)
    places = {"https://git.our-lab.org/fashion.git": shared.url, "--rev v1.0": f"--rev v1.0 --config {secrets}"}
    if shared.remote.secrets:  # one process: the modules for a kind of remote take a second to import
        dvc(other, *commands_of_dvc("others", places))
    else:
        documented(other, "others", places)
        assert "rev: v1.0" in other.git("show", ":registry.dvc")
    assert counts(other.root / "once") == shared.counts["v1.0"]
    assert counts(other.root / "registry") == shared.counts["v2.0"]
    other.commit("Imported")
    assert "rev: v2.0" in (other.root / "registry.dvc").read_text()
    assert_no_secrets(other, shared.remote)


def test_no_secret_is_committed(shared: Shared) -> None:
    assert shared.project.git("status", "--porcelain") == ""
    assert_no_secrets(shared.project, shared.remote)


def assert_no_secrets(project: Project, remote: Remote) -> None:
    """Fail if one of a remote's secrets is in any commit."""
    revisions = project.git("rev-list", "--all").split()
    for secret in remote.secrets.values():
        assert run(project.root, "git", "grep", "-F", "-e", secret, *revisions, expect=1) == ""


@pytest.mark.xdist_group("seaweedfs")
def test_a_wrong_secret_is_refused_and_breaks_nothing(template: Path, tmp_path: Path, seaweedfs: S3Server) -> None:
    bucket = seaweedfs.make_bucket("dvc-refused")
    remote = Remote(f"{bucket}/dvc", {"endpointurl": seaweedfs.endpoint_url}, {"access_key_id": seaweedfs.key})
    wrong = replace(remote, secrets={**remote.secrets, "secret_access_key": "not-the-secret-0815"})
    right = replace(remote, secrets={**remote.secrets, "secret_access_key": seaweedfs.secret})
    project = make_project(template, tmp_path, wrong)
    make_version(project, template, "v2.0")
    said = dvc(project, "push", expect=255)
    assert "ERROR: unexpected error - Forbidden" in said
    assert "not-the-secret-0815" not in said
    assert seaweedfs.files().find("dvc-refused") == []
    assert project.git("status", "--porcelain") == ""
    (project.root / ".dvc/config.local").write_text(right.local)
    assert "files pushed" in dvc(project, "push")
    project.forget()
    (project.root / ".dvc/config.local").write_text(wrong.local)
    assert "Forbidden" in dvc(project, "pull data/registry/manifest.json", expect=1)
    assert counts(project.registry)["train"]["num_images"] > 0


@pytest.mark.parametrize("shared", KINDS[:1], indirect=True)
def test_a_part_is_pulled_and_then_the_rest_as_documented(shared: Shared, tmp_path: Path) -> None:
    clone = shared.clone(tmp_path / "clone")
    whole = "dvc pull --force"
    before = f"cp -r data/registry part\n{{ dvc pull && exit 9; }} || test $? = 1\n{whole}"
    said = documented(clone, "part", {whole: before})
    assert "Can't remove the following unsaved files without confirmation" in said
    assert "data/registry/manifest.json" in said
    assert set(registry.open(str(clone.root / "part")).manifest.sources) == {"train"}
    assert verify_registry(Place(str(clone.registry))).is_whole
    assert "categories" in {file.table for file in registry.open(str(clone.registry)).manifest.files}
    assert clone.git("status", "--porcelain") == "?? part/"


@pytest.mark.xdist_group("dvc")
@pytest.mark.parametrize("remote", [None, Remote("../../storage")], ids=["no remote", "a relative remote"])
def test_a_tag_without_a_remote_for_others_fails_and_is_mended_as_documented(
    remote: Remote | None, template: Path, tmp_path: Path
) -> None:
    project = make_project(template, tmp_path, remote)
    make_version(project, template, "v1.0")
    if remote:
        dvc(project, "push")
    shared = Shared(project, Remote(str(tmp_path / "new")))
    (project.root / ".dvc/config").write_text(shared.remote.committed)
    make_version(project, template, "v2.0")
    said = dvc(project, "push", *([] if remote else ["push -T", "push -A"]))  # -T would push to /storage, relative to /
    assert said.count("Everything is up to date.") == (0 if remote else 2)
    other = Project(tmp_path / "elsewhere/other")
    other.init()
    get = f"get {shared.url} data/registry"
    said = dvc(other, f"{get} --rev v2.0 -o new", f"{get} --rev v1.0 -o registry", expect=255)
    assert counts(other.root / "new") == shared.counts["v2.0"]
    assert re.search("failed to load directory .* No such file or directory", said)
    assert ("'/storage/files/" in said) == bool(remote)
    if remote:
        clone = shared.clone(tmp_path / "else/where/clone")
        clone.git("checkout", "-q", "v1.0")
        said = dvc(clone, "pull", expect=1)
        assert "Some of the cache files do not exist neither locally nor on remote" in said

    places = {"s3://our-bucket/df2": shared.remote.url, "https://git.our-lab.org/fashion.git": shared.url}
    if not remote:
        again = ["remote add --local -d storage " + shared.remote.url, "push -T"]
        assert "Everything is up to date." in dvc(project, *again), "DVC remembers what it left out"
    assert "files pushed" in documented(project, "mend", places)
    (configuration,) = re.findall(r"```ini\n(\[core\].*?)```", DOCS, re.DOTALL)
    (other.root / "storage.ini").write_text(configuration.replace("s3://our-bucket/df2", shared.remote.url))
    commands = commands_of_dvc("mended", places)
    if not remote:
        documented(project, "retag", places)
        commands.append(f"{get} --rev v1.0.1 -o again")
    dvc(other, *commands)
    assert counts(other.root / "registry") == shared.counts["v1.0"]
    if not remote:
        assert counts(other.root / "again") == shared.counts["v1.0"]


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Project:
    """Return a repository with one version and the remote that is committed here."""
    project = make_project(template, tmp_path, Remote("../../df2-storage"))
    make_version(project, template, "v2.0")
    return project


def check_documented(project: Project, said: str, secret: str | None = None) -> None:
    """Fail if data was not synced, asked and pushed, or a secret was said or committed."""
    num_files = len(read_manifest(Place(str(project.registry))).files)
    assert f": {num_files} files sent" in said
    assert '[{"split": "train", "pair_id": 1, ' in said
    assert "files pushed" in said
    assert project.git("log", "--format=%s", "-1").startswith("Data is shared in ")
    assert project.git("status", "--porcelain") == ""
    if secret:
        assert secret not in said
        assert_no_secrets(project, Remote("", secrets={"secret": secret}))


@pytest.mark.xdist_group("dvc")
def test_the_documented_lines_for_a_folder_run(checkout: Project, tmp_path: Path) -> None:
    check_documented(checkout, documented(checkout, "folder", {"/mnt/shared": f"{tmp_path}/shared"}))


@pytest.mark.xdist_group("seaweedfs")
def test_the_documented_lines_for_s3_run(checkout: Project, seaweedfs: S3Server) -> None:
    places = {"https://s3.our-lab.org": seaweedfs.endpoint_url, "s3://our-bucket": seaweedfs.make_bucket("documented")}
    environment = {name: value for name, value in seaweedfs.environment.items() if name != "AWS_ENDPOINT_URL"}
    said = documented(checkout, "s3", places, **environment)
    check_documented(checkout, said, seaweedfs.secret)
    assert said.count("files are as they were written") == 1


@pytest.mark.xdist_group("dvc")
def test_the_documented_lines_for_google_cloud_storage_run(checkout: Project, gcs_server: GCSServer) -> None:
    places = {"gs://our-bucket": gcs_server.make_bucket("documented")}
    check_documented(checkout, documented(checkout, "gs", places, **gcs_server.environment))


@pytest.mark.xdist_group("ssh")
def test_the_documented_lines_for_ssh_run(checkout: Project, ssh_server: SSHServer, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    host = {"HostName": ssh_server.host, "Port": ssh_server.port, "User": ssh_server.user}
    host["IdentityFile"] = ssh_server.key_file
    (tmp_path / ".ssh/config").write_text(
        "\n  ".join(["Host nas", *(f"{name} {value}" for name, value in host.items())])
    )
    places = {"ssh://nas/data": f"ssh://nas{ssh_server.root}/{tmp_path.name}"}
    check_documented(checkout, documented(checkout, "ssh", places, HOME=str(tmp_path)))


@pytest.mark.xdist_group("dvc")
def test_the_documented_lines_for_webdav_run(checkout: Project, webdav_server: WebDAVServer, tmp_path: Path) -> None:
    (webdav_server.root / tmp_path.name / "df2").mkdir(parents=True)
    host = webdav_server.base_url.removeprefix("http://")
    places = {"webdavs:": "webdav:", "cloud.our-lab.org/dav": f"{host}/{tmp_path.name}"}
    places |= {" ada": f" {webdav_server.user}", "ada:": f"{webdav_server.user}:"}
    said = documented(checkout, "webdav", places, PASSWORD=webdav_server.password)
    check_documented(checkout, said, webdav_server.password)


@pytest.mark.xdist_group("dvc")
def test_the_documented_lines_for_a_web_server_run(checkout: Project, http_server: HTTPServer, tmp_path: Path) -> None:
    shutil.copytree(checkout.registry, http_server.root / tmp_path.name / "registry")
    said = documented(checkout, "http", {"https://data.our-lab.org": http_server.url(tmp_path.name)})
    assert '[{"split": "train", "pair_id": 1, ' in said
    assert counts(checkout.root / "copy") == counts(checkout.registry)
