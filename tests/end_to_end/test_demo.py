"""The main job from files to numbers and a picture, short, on real nuclei where they are."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnseg.apis.demo import choose_config, run_demo
from attnseg.apis.experiment import UsageError


def link_subset(source: Path, target: Path, count: int) -> Path:
    """A data folder with the first images of each split of another; files are links."""
    (target / "annotations").mkdir(parents=True)
    for folder in ("images", "panoptic"):
        (target / folder).symlink_to(source / folder)
    for split in ("train", "val"):
        for kind in ("panoptic", "instances"):
            file = f"annotations/{kind}_{split}.json"
            content = json.loads((source / file).read_text())
            content["images"] = content["images"][:count]
            kept = {image["id"] for image in content["images"]}
            content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
            (target / file).write_text(json.dumps(content))
    return target


def test_demo_on_real_or_generated_images(
    data_root: Path | None, demo_set: Path, tmp_path: Path
) -> None:
    real = data_root is not None and (data_root / "dsb2018").is_dir()
    source = data_root / "dsb2018" if real else demo_set
    data = link_subset(source, tmp_path / source.name, 8)
    results = run_demo(data, tmp_path / "run", iterations=3)
    assert set(results) == {"embedding", "components"}
    for metrics in results.values():
        assert {"panoptic/PQ", "coco/AP", "semantic/mIoU"} <= set(metrics)
        assert 0 <= metrics["semantic/mIoU"] <= 1
    recorded = json.loads((tmp_path / "run" / "result.json").read_text())
    assert recorded["metrics"]["panoptic/PQ"] == pytest.approx(results["embedding"]["panoptic/PQ"])
    assert recorded["mode"] == "test"
    picture = np.asarray(Image.open(tmp_path / "run" / "demo.png").convert("RGB"))
    assert picture.std() > 10
    assert (tmp_path / "run" / "iter_3.pth").is_file()


def test_a_missing_folder_and_a_foreign_layout_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder '.*nowhere' not found"):
        run_demo(tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "images" / "train").mkdir(parents=True)
    with pytest.raises(UsageError, match="lacks images/val, panoptic/train, panoptic/val"):
        run_demo(tmp_path, tmp_path / "run")


def test_the_config_follows_the_name_of_the_folder(tmp_path: Path) -> None:
    assert "dsb2018-panoptic" in choose_config(tmp_path / "dsb2018")
    assert "demo-panoptic" in choose_config(tmp_path / "mine")
