"""What a record says of its data."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnseg.engine.data_hash import describe_data
from attnseg.file_hash import file_hash


class JsonData:
    def __init__(self, ann_file: Path, total: int = 3) -> None:
        self.ann_file, self.data_prefix, self.data_root = str(ann_file), {}, ""
        self.total = total

    def __len__(self) -> int:
        return self.total


class MapData:
    def __init__(self, root: Path, split: str, ann_file: str = "") -> None:
        self.ann_file, self.data_root = ann_file, str(root)
        self.data_prefix = {"seg_map_path": f"{root}/labels/{split}"}
        self.paths = sorted((root / "labels" / split).iterdir(), reverse=True)

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        return {"seg_map_path": str(self.paths[index])}


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "train" / "labels" / "validation"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / f"{name}.png").write_bytes(name.encode())
    return tmp_path / "train"


def test_annotation_file(tmp_path: Path) -> None:
    file = tmp_path / "panoptic_val2017.json"
    file.write_text("{}")
    assert describe_data(JsonData(file)) == {
        "type": "JsonData",
        "split": "val",
        "annotations": "panoptic_val2017.json",
        "hash": hashlib.sha256(b"{}").hexdigest(),
        "images": 3,
        "classes": None,
        "things": None,
    }


def test_classes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "val.json"
    file.write_text("{}")
    data = JsonData(file)
    for given, expected in ((("cat", "dog"), ["cat", "dog"]), ("cat", ["cat"]), ((), [])):
        data.metainfo = {"classes": given}
        assert describe_data(data)["classes"] == expected
        assert describe_data(data)["things"] is None
        data.metainfo = {"classes": ("sky", "cat", "dog"), "thing_classes": given}
        assert describe_data(data)["things"] == expected


def test_label_maps_by_name_and_content(maps: Path) -> None:
    found = describe_data(MapData(maps, "validation"))
    # The folder `train` above the data does not tell the split.
    assert (found["split"], found["annotations"], found["images"]) == ("val", "validation", 2)
    parts = [f"{n}.png\0{hashlib.sha256(n.encode()).hexdigest()}\0" for n in "ab"]
    assert found["hash"] == hashlib.sha256("".join(parts).encode()).hexdigest()
    (maps / "labels/validation/b.png").write_bytes(b"changed")
    assert describe_data(MapData(maps, "validation"))["hash"] != found["hash"]


def test_moved_label_maps_keep_their_hash(maps: Path, tmp_path: Path) -> None:
    before = describe_data(MapData(maps, "validation"))
    maps.rename(tmp_path / "moved")
    assert describe_data(MapData(tmp_path / "moved", "validation")) == before


def test_a_list_of_names_is_no_annotation(maps: Path) -> None:
    listed = maps / "val.txt"
    listed.write_text("a\nb\n")
    with_list = describe_data(MapData(maps, "validation", str(listed)))
    assert with_list["hash"] == describe_data(MapData(maps, "validation"))["hash"]


def test_several_and_wrapped_data_sets(tmp_path: Path) -> None:
    files = [tmp_path / "val_a.json", tmp_path / "val_b.json"]
    for file in files:
        file.write_text(file.name)
    parts = [JsonData(file) for file in files]

    class Concat(SimpleNamespace):
        def __len__(self) -> int:
            return 6

    found = describe_data(Concat(datasets=[Concat(dataset=parts[0]), parts[1]]))
    joined = "\0".join(map(file_hash, files)).encode()
    assert found == {
        "type": "JsonData",
        "split": "val",
        "annotations": "val_a.json+val_b.json",
        "hash": hashlib.sha256(joined).hexdigest(),
        "images": 6,
        "classes": None,
        "things": None,
    }


def test_what_is_not_known_is_none(tmp_path: Path) -> None:
    missing = describe_data(JsonData(tmp_path / "gone.json"))
    assert missing["hash"] is None and missing["split"] is None
    assert describe_data([1, 2]) == {
        "type": "list",
        "split": None,
        "annotations": None,
        "hash": None,
        "images": 2,
        "classes": None,
        "things": None,
    }
