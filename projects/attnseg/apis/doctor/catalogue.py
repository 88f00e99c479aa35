"""Everything that the doctor of data can find: how bad it is, what it is called, and the fix."""

from typing import NamedTuple

FAULT, WARNING, NOTE = "fault", "warning", "note"


class Check(NamedTuple):
    """A kind of finding."""

    severity: str
    title: str
    fix: str = ""


_REMOVE = "correct the annotation, or remove it"
_IDS = "give each one its own id; tools that merge files must renumber"
_PAIR = "pair the right files, or write the true size into the annotation file"

CHECKS: dict[str, Check] = {
    # The config and its folders.
    "unreadable-set": Check(FAULT, "data set cannot be opened", "see the message"),
    "folder-missing": Check(
        FAULT, "folder does not exist", "correct data_root or data_prefix, or give --data DIR"
    ),
    "file-missing": Check(
        FAULT,
        "annotation file does not exist",
        "correct ann_file, give --data DIR, or make it with tools/dataset_converters",
    ),
    "not-json": Check(FAULT, "annotation file cannot be read", "restore or write it again"),
    "wrong-form": Check(
        FAULT,
        "annotations of the other form (instances, panoptic)",
        "give ann_file the file of the form that the data set's class reads",
    ),
    "unchecked": Check(NOTE, "not checked"),
    "class-count": Check(
        FAULT,
        "the model's number of classes is not that of the data",
        "set the number in the model, or choose classes with dataset.metainfo.classes",
    ),
    "things-count": Check(
        FAULT,
        "the model's numbers of things and stuff are not those of the file",
        "correct num_things and num_stuff of the model, or 'isthing' in the file",
    ),
    # Lists of COCO-form files.
    "list-missing": Check(
        FAULT, "the file lacks a list", "a COCO-form file needs images, annotations and categories"
    ),
    "key-missing": Check(FAULT, "entry lacks a key", "add the key, or remove the entry"),
    "size-value": Check(
        FAULT, "image without a usable height or width", "write both in whole pixels"
    ),
    "image-id-twice": Check(FAULT, "image id used twice", _IDS),
    "category-id-twice": Check(FAULT, "category id used twice", _IDS),
    "annotation-id-twice": Check(FAULT, "annotation id used twice: objects are lost", _IDS),
    "file-listed-twice": Check(
        WARNING, "one image file under several ids", "merge the entries and their annotations"
    ),
    "classes": Check(FAULT, "classes do not fit the file", "see the message"),
    "unknown-image": Check(
        FAULT,
        "annotation of an image that the file does not list",
        "add the image, or remove the annotation",
    ),
    "unknown-category": Check(
        FAULT,
        "annotation of a category that the file does not list",
        "add the category, or correct category_id",
    ),
    "class-empty": Check(
        WARNING,
        "class without objects",
        "add examples, or leave the class out of metainfo.classes and the model",
    ),
    "image-empty": Check(
        NOTE,
        "image without annotation",
        "none needed if it shows no object; filter_cfg.filter_empty_gt leaves such images out",
    ),
    "panoptic-entry-missing": Check(
        FAULT,
        "image without panoptic entry: all of it is void, and PanopticMetric refuses it",
        "add the annotation, or remove the image",
    ),
    "panoptic-entry-twice": Check(
        FAULT, "image with several panoptic entries: one is lost", "merge them into one"
    ),
    "isthing": Check(
        FAULT, "category whose 'isthing' is not 0 or 1", "write 1 for things, 0 for stuff"
    ),
    "isthing-instances": Check(
        FAULT,
        "stuff in the panoptic file, but with objects in the instance file",
        "correct 'isthing' of the category in the panoptic file",
    ),
    "stuff-twice": Check(
        WARNING,
        "several segments of one stuff category in an image",
        "merge them, or set 'isthing' of the category to 1",
    ),
    "segment-id-twice": Check(FAULT, "segment id used twice in an image", _IDS),
    "segment-id-value": Check(FAULT, "segment id outside 1..16777215 (0 is void)", _IDS),
    "crowd-value": Check(FAULT, "iscrowd is not 0 or 1", "write 0 or 1"),
    "evaluator-images": Check(
        FAULT,
        "image that the evaluator's annotation file does not have, or has under another name",
        "give the evaluator the annotation file of the data set that it evaluates",
    ),
    # Masks, boxes, areas.
    "mask-missing": Check(FAULT, "object without segmentation", _REMOVE),
    "mask-form": Check(FAULT, "segmentation is neither polygons nor RLE", _REMOVE),
    "mask-empty": Check(FAULT, "mask without a pixel", _REMOVE),
    "polygon-points": Check(FAULT, "polygon whose points are no finite numbers", _REMOVE),
    "polygon-odd": Check(FAULT, "polygon with an odd number of coordinates", _REMOVE),
    "polygon-short": Check(FAULT, "polygon of less than three points", _REMOVE),
    "rle-size": Check(FAULT, "RLE of another size than its image", _PAIR),
    "rle-damaged": Check(FAULT, "damaged RLE", _REMOVE),
    "box-form": Check(
        FAULT, "bbox is not four finite numbers", "write x, y, width, height in pixels"
    ),
    "box-beside": Check(FAULT, "box wholly outside its image: the object is dropped", _REMOVE),
    "box-outside": Check(
        WARNING,
        "box reaches more than a pixel out of its image",
        "cut it at the border; perhaps it is x1, y1, x2, y2 in place of x, y, width, height",
    ),
    "box-tiny": Check(
        WARNING,
        "box narrower than a pixel: training drops the object without a word",
        _REMOVE,
    ),
    "box-mask": Check(
        WARNING, "box disagrees with its mask", "remove 'bbox': it is measured from the mask"
    ),
    "area-value": Check(
        WARNING, "area is not a number above 0: training drops the object", "remove 'area'"
    ),
    "area-mask": Check(
        WARNING,
        "area disagrees with its mask: scores of small, medium and large objects are wrong",
        "remove 'area': it is measured from the mask",
    ),
    # Image files.
    "image-missing": Check(
        FAULT, "image file does not exist", "restore it, or correct data_prefix and file_name"
    ),
    "image-damaged": Check(FAULT, "image cannot be decoded whole", "restore the file"),
    "image-size": Check(FAULT, "image of another size than its entry", _PAIR),
    "image-loader": Check(FAULT, "the pipeline's loader refuses such images", "see the message"),
    "name-escapes": Check(
        FAULT,
        "file name that leads out of its folder (the file is not opened)",
        "write file names relative to the folder, without '..'",
    ),
    "depth-mixed": Check(
        WARNING, "images of several depths in one set", "convert all to one depth"
    ),
    "depth-lost": Check(
        WARNING,
        "deep image (more than 8 bits), of which the loader keeps the upper 8 bits at most",
        "begin the pipeline with dict(type='attnseg.LoadImage')",
    ),
    "depth-stretched": Check(
        NOTE,
        "deep image (more than 8 bits): attnseg.LoadImage stretches it to 0..255 by percentiles",
        "none needed; percentiles and per_channel of LoadImage say how",
    ),
    "channels-mixed": Check(
        NOTE,
        "images of several kinds in one set, which the loader makes alike",
        "none needed if the kinds are meant: gray is repeated, alpha dropped, palettes applied",
    ),
    "image-turned": Check(
        WARNING,
        "EXIF says that the image is turned: mmcv's loader turns it, attnseg.LoadImage does not",
        "rewrite the image upright and without the tag, in the orientation of its annotations",
    ),
    "split-copy": Check(
        WARNING,
        "the same image in training and evaluation",
        "remove it from one of them: scores on images that were trained on mean little",
    ),
    "split-near": Check(
        WARNING,
        "nearly the same image in training and evaluation",
        "split by scene, video or patient, so that no near copy is evaluated",
    ),
    "file-unnamed": Check(NOTE, "file in the folder that no annotation names"),
    # Label maps and panoptic PNGs.
    "map-missing": Check(
        FAULT, "label map does not exist", "correct data_prefix and seg_map_suffix, or restore it"
    ),
    "map-damaged": Check(FAULT, "label map cannot be decoded whole", "restore the file"),
    "map-size": Check(FAULT, "label map of another size than its image", _PAIR),
    "map-channels": Check(
        FAULT,
        "label map of several channels",
        "write an index PNG: one channel, whose values are labels",
    ),
    "map-depth": Check(
        FAULT, "16-bit label map with labels above 255", "labels lie in 0..254, 255 is void"
    ),
    "map-palette": Check(
        NOTE, "label map with a palette: its indices are the labels", "none needed"
    ),
    "map-labels": Check(
        FAULT,
        "labels outside the classes",
        "correct labels or class list; where 0 stands for void, set reduce_zero_label=True",
    ),
    "map-binary": Check(
        FAULT,
        "maps of two classes that hold 0 and 255 alone: all objects are void",
        "write 1 in place of 255",
    ),
    "map-void": Check(
        WARNING, "label map without a labelled pixel", "label it, or leave the image out"
    ),
    "segment-unlisted": Check(
        FAULT, "PNG has a segment id that the json does not list", "list it, or write 0 (void)"
    ),
    "segment-absent": Check(
        FAULT, "json lists a segment that the PNG does not have", "remove it from the json"
    ),
    "segment-area": Check(
        WARNING, "area of a segment is not its number of pixels", "write the number of pixels"
    ),
    "segment-box": Check(
        WARNING, "bbox of a segment is not that of its pixels", "measure it from the PNG"
    ),
}
