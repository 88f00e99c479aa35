"""LIVECell, EVICAN2 and Revvity-25: from their published form to samples of our data sets."""

import json

import numpy as np
import pytest

from attnseg.coco_files import read_coco_json
from attnseg.datasets.converters.evican import convert_evican
from attnseg.datasets.converters.livecell import cell_type, convert_livecell
from attnseg.datasets.converters.revvity import convert_revvity

from .published_cells import (
    BOXES,
    cell_map,
    coco,
    evaluator_files,
    load,
    write_json,
)


def check_split(name, split, root, count=1):
    """Samples of the config's split show ``BOXES``, and its evaluators read the same file."""
    dataset = load(name, split, root)
    assert len(dataset) == count
    for sample in dataset:
        objects = sample["data_samples"].gt_instances
        if split == "train":
            assert sample["inputs"].shape == (3, 512, 512) and len(objects) <= len(BOXES)
        else:
            shown = (objects.masks.masks * np.arange(1, 1 + len(BOXES))[:, None, None]).sum(0)
            np.testing.assert_array_equal(shown, cell_map())
    if split != "train":
        truth = read_coco_json(dataset.ann_file, "instances", ("annotation.segmentation",))
        assert len(truth["images"]) == count
        assert evaluator_files(name, split, root) == {dataset.ann_file}
    return dataset


def test_livecell_in_both_forms(livecell):
    lines = convert_livecell(livecell)
    assert [line.split("'")[1] for line in lines] == [
        str(livecell / f"annotations/instances_{split}.json") for split in ("train", "test")
    ]
    assert lines[0].endswith("2 images (0 without objects), 6 objects, at most 3 in an image")
    check_split("livecell", "train", livecell, 2)
    test = check_split("livecell", "test", livecell, 2)
    where = "images/livecell_test_images/A172/A172_Phase_test_1_00d00h00m_1.tif"
    assert test[0]["data_samples"].img_path == str(livecell / where)


def test_livecell_by_cell_type(livecell, tmp_path):
    out = tmp_path / "a172"
    convert_livecell(livecell, out=out, cell_types=["a172"])
    for split in ("train", "test"):
        content = json.loads((out / f"annotations/instances_{split}.json").read_text())
        assert [cell_type(image["file_name"]) for image in content["images"]] == ["a172"]
        assert len(content["annotations"]) == 3
    with pytest.raises(ValueError, match=r"no image of the cell types \['huh7'\]; it has \['a172"):
        convert_livecell(livecell, out=out, cell_types=["A172", "Huh7"])


def test_livecell_of_a_named_file(livecell, tmp_path):
    source = livecell / "annotations/LIVECell/livecell_coco_test.json"
    convert_livecell(livecell, out=tmp_path / "out", ann_files={"val": source})
    files = list((tmp_path / "out/annotations").iterdir())
    assert [path.name for path in files] == ["instances_val.json"]


def test_evican_has_cells_and_nuclei_at_three_difficulties(evican):
    assert len(convert_evican(evican)) == 5
    for split, image in (
        ("train", "train2019/train2019"),
        ("val", "val2019/val2019"),
        ("test", "eval2019/eval2019_easy"),
    ):
        dataset = check_split("evican", split, evican)
        assert dataset.metainfo["classes"] == ("cell", "nucleus")
        assert dataset.get_data_info(0)["img_path"].endswith(f"EVICAN_{image}_ACHN.jpg")
    assert dataset[0]["data_samples"].gt_instances.labels.tolist() == [0, 1, 0]


def test_evican_as_one_class(evican):
    convert_evican(evican, merge=True)
    content = json.loads((evican / "annotations/instances_eval_difficult.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "cell"}]
    assert {part["category_id"] for part in content["annotations"]} == {1}


def test_evican_images_in_one_folder(evican):
    (evican / "flat").mkdir()
    for path in list(evican.glob("EVICAN_*/*")):
        path.rename(evican / "flat" / path.name)
    for folder in list(evican.glob("EVICAN_*")):
        folder.rmdir()
    convert_evican(evican)
    assert load("evican", "val", evican)[0]["data_samples"].img_path.endswith(
        "flat/val2019_ACHN.jpg"
    )


def test_revvity_is_parted_by_its_seed(revvity, tmp_path):
    convert_revvity(revvity, val_fraction=0.3)
    train, val = (
        check_split("revvity", "train", revvity, 7),
        check_split("revvity", "val", revvity, 3),
    )
    paths = [{part.get_data_info(i)["img_path"] for i in range(len(part))} for part in (train, val)]
    assert len(paths[0] | paths[1]) == 10
    # What was written is not taken for a published file, and the seed gives the same again.
    first = (revvity / "annotations/instances_val.json").read_text()
    convert_revvity(revvity, val_fraction=0.3)
    assert (revvity / "annotations/instances_val.json").read_text() == first
    convert_revvity(revvity, val_fraction=0.3, seed=1)
    assert (revvity / "annotations/instances_val.json").read_text() != first
    with pytest.raises(ValueError, match="leaves no image for train or val"):
        convert_revvity(revvity, val_fraction=1.0)


def test_revvity_with_splits_of_its_own(revvity):
    content = json.loads((revvity / "annotations.json").read_text())
    (revvity / "annotations.json").unlink()
    for split, keep in (("train", range(11, 18)), ("valid", range(18, 21))):
        part = {
            **content,
            "images": [image for image in content["images"] if image["id"] in keep],
            "annotations": [a for a in content["annotations"] if a["image_id"] in keep],
        }
        write_json(revvity / f"annotations/revvity_{split}.json", part)
    convert_revvity(revvity)
    check_split("revvity", "train", revvity, 7)
    check_split("revvity", "val", revvity, 3)
    write_json(revvity / "annotations/other.json", content)
    with pytest.raises(ValueError, match=r"other.json' is one of 3 json files"):
        convert_revvity(revvity)
    assert (
        "3 images"
        in convert_revvity(revvity, ann_file=revvity / "annotations/other.json", val_fraction=0.3)[
            1
        ]
    )


def test_published_files_of_our_names_are_not_replaced(revvity):
    path = revvity / "annotations/instances_train.json"
    (revvity / "annotations").mkdir()
    (revvity / "annotations.json").rename(path)
    published = path.read_bytes()
    link = revvity.parent / "link.json"
    link.symlink_to(path)
    for options in ({}, {"ann_file": path}, {"ann_file": link}):
        with pytest.raises(ValueError, match=r"instances_train.json' is the .*--out FOLDER"):
            convert_revvity(revvity, **options)
    assert path.read_bytes() == published
    lines = convert_revvity(revvity, ann_file=path, out=revvity / "out")
    assert "8 images" in lines[0]
    # Our own file is no published one, and not to be converted into itself either.
    own = revvity / "out/annotations/instances_train.json"
    with pytest.raises(ValueError, match="is the file to be converted"):
        convert_revvity(revvity, ann_file=own, out=revvity / "out")


def test_livecell_file_of_our_name_is_not_replaced(livecell):
    path = livecell / "annotations/instances_train.json"
    write_json(path, coco(["A172_Phase_train_1_00d00h00m_1.tif"]))
    published = path.read_bytes()
    for sources in ({"train": path}, None):
        with pytest.raises(ValueError, match=r"instances_train.json' .*--out FOLDER"):
            convert_livecell(livecell, ann_files=sources)
    assert path.read_bytes() == published
