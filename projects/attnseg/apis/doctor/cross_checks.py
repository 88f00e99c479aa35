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
    for truth in (c for c in all_contents if c.source.evaluates):
        names = {entry.img_id: image_name(entry) for entry in truth.entries}
        for contents in all_contents:
            source = contents.source
            if source.of_metric or source.form == SEMANTIC or contents is truth:
                continue
            if not set(source.roles) & set(truth.source.evaluates):
                continue
            for entry in contents.entries:
                if names.get(entry.img_id) != image_name(entry):
                    own = names.get(entry.img_id, "missing")
                    text = f"id {entry.img_id}: {entry.name} in {source.name}, here {own}"
                    findings.add("evaluator-images", truth.source.name, text)


def check_things(all_contents: Sequence[Contents], findings: Findings) -> None:
    """Compare 'isthing' of panoptic files with the objects of instance files."""
    for contents in all_contents:
        if contents.source.form != PANOPTIC:
            continue
        stuff = {c["name"] for c in contents.categories if c.get("isthing") == 0}
        for other in all_contents:
            # Files that list all stuff are of the detection form of panopticapi: it belongs there.
            if other.source.form != INSTANCES or stuff <= {c["name"] for c in other.categories}:
                continue
            for name in sorted(stuff):
                if other.histogram[name]:
                    text = f"{name} (objects in {other.source.name})"
                    findings.add("isthing-instances", contents.source.name, text)
