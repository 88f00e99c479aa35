"""What only several sets of a config, or a set and the model, tell together."""

from collections.abc import Sequence
from typing import Any

from .coco_lists import image_name
from .contents import Contents
from .findings import Findings
from .model_classes import class_counts
from .sets import INSTANCES, PANOPTIC, SEMANTIC


def check_model(model: Any, all_contents: Sequence[Contents], findings: Findings) -> None:
    """Compare the numbers of classes in the model's config with those of the data."""
    counts = list(class_counts(model or {}))
    for contents in all_contents:
        source, classes = contents.source, contents.classes
        if source.of_metric or not classes:
            continue
        listed = ", ".join(classes[:6]) + (", ..." if len(classes) > 6 else "")
        for key, count, things in counts:
            if count != len(classes):
                text = f"{key} is {count}, the data have {len(classes)} ({listed})"
                findings.add("class-count", source.name, text)
            elif source.form == PANOPTIC and contents.table and things is not None:
                own = contents.table.num_things
                # A semantic model takes all classes as stuff, or as things.
                if things not in (own, 0, count):
                    text = f"{key}: {things} things, the file has {own}"
                    findings.add("things-count", source.name, text)


def check_evaluators(all_contents: Sequence[Contents], findings: Findings) -> None:
    """Look up the images of each evaluated set in the files of its evaluators."""
    for truth in (c for c in all_contents if c.source.of_metric):
        names = {entry.img_id: image_name(entry) for entry in truth.entries}
        for contents in all_contents:
            source = contents.source
            shared = set(source.roles) & set(truth.source.roles)
            if source.of_metric or source.form == SEMANTIC or not shared:
                continue
            for entry in contents.entries:
                if names.get(entry.img_id) != image_name(entry):
                    own = names.get(entry.img_id, "missing")
                    text = f"id {entry.img_id}: {entry.name} in the data set, here {own}"
                    findings.add("evaluator-images", truth.source.name, text)


def check_things(all_contents: Sequence[Contents], findings: Findings) -> None:
    """Compare 'isthing' of panoptic files with the objects of instance files."""
    found: dict[str, str] = {}
    for contents in all_contents:
        if contents.source.form == INSTANCES:
            for name, count in contents.histogram.items():
                if count:
                    found.setdefault(name, contents.source.name)
    for contents in all_contents:
        if contents.source.form == PANOPTIC:
            for category in contents.categories:
                if category.get("isthing") == 0 and category["name"] in found:
                    text = f"{category['name']} (objects in {found[category['name']]})"
                    findings.add("isthing-instances", contents.source.name, text)
