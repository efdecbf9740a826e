"""COCO files on the command line: ingested, queried with a word on what is missing, and in a stage of DVC."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.ingest.coco_files import official, write_coco


def test_a_coco_file_is_ingested_and_the_missing_source_is_told(run: Run, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "instances.json", official(tmp_path))
    result = run("ingest", "--split", "train", path, "new", registry=None)
    assert (result.exit_code, result.stdout) == (0, "train: 5 images, 8 items.\n")
    told = "note: 8 items of train have no source: ingest train with --source-of @FILE (lines 000001.jpg,user) or the "
    for command in (["pairs"], ["stats"], ["sql", "SELECT count(*) FROM instance_pairs"], ["subset", "--paired"]):
        assert told in run(*command, registry="new").stderr
    assert told not in run("sql", "SELECT count(*) FROM items", registry="new").stderr
    assert "note: 1 item of train has no source" in run("stats", "--limit", "1", registry="new").stderr
    refused = run("export", "pairs", "out", registry="new")
    assert refused.exit_code == 2
    assert "pairs needs values that items do not have. 8 items of train have no source:" in refused.stderr
    assert not Path("out").exists()


def test_sources_come_from_a_file(run: Run, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "instances.json", official(tmp_path))
    lines = "1 user\n2 user\n3 shop\n4 shop\n7 user\n"
    (tmp_path / "sources.txt").write_text(lines)
    result = run("ingest", "--split", "train", "--source-of", "@sources.txt", path, "new", registry=None)
    assert result.exit_code == 0
    result = run("sql", "SELECT count(*) FROM instance_pairs", "--format", "csv", registry="new")
    assert result.stdout.splitlines()[1:] == ["5"]
    assert "have no source" not in result.stderr


def test_a_bad_file_exits_with_3_and_names_every_place(run: Run, tmp_path: Path) -> None:
    document = official(tmp_path)
    document["annotations"][2]["iscrowd"] = 1
    document["annotations"][5]["bbox"] = [1, 2, 3]
    result = run("ingest", "--split", "train", write_coco(tmp_path / "x.json", document), "new", registry=None)
    assert result.exit_code == 3
    assert "train/x.json > annotations > 2 > iscrowd: expected 0, found a crowd" in result.stderr
    assert "train/x.json > annotations > 5 > bbox: expected a list of length 4" in result.stderr
    assert not Path("new/manifest.json").exists()


def test_a_stage_ingests_a_coco_file_of_params(run: Run, tmp_path: Path) -> None:
    write_coco(tmp_path / "my files" / "instances.json", official(tmp_path))
    Path("params.yaml").write_text("splits: {train: {source: my files/instances.json}}\n")
    stage = ["stage", "fingerprint", "--split", "train", "-o", "train.json", "--", "{splits.train.source}"]
    assert run(*stage, registry=None).exit_code == 0
    assert '"coco": {' in Path("train.json").read_text()
    stage = ["stage", "ingest", "--split", "train", "--", "{splits.train.source}", "new"]
    assert run(*stage, registry=None).exit_code == 0
