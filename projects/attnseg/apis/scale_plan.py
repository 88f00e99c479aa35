"""What a training needs on many GPUs: computed from its real model, data set size and samplers."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import Any
from unittest import mock

from attnseg.apis.command import UsageError
from attnseg.apis.scale import base_batch


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What is assumed, not measured.

    Attributes:
        images_per_second: One GPU trains.
        worker_images_per_second: One process of a loader reads and augments.
        gpus_per_node: GPUs of a node.
        network: Bytes a second between two processes, of each direction.
        disk: Bytes a second to the file system of checkpoints.
        node_hours: Mean time between failures or preemptions of one node, in hours.
    """

    images_per_second: float = 100.0
    worker_images_per_second: float = 20.0
    gpus_per_node: int = 8
    network: float = 25e9
    disk: float = 1e9
    node_hours: float = 5000.0


@dataclass(frozen=True)
class ModelSize:
    """Sizes of a built model.

    Attributes:
        parameters: Number of weights, trained or not.
        gradient_bytes: Of the trained ones.
        optimizer_bytes: States after a step.
        checkpoint_bytes: A checkpoint of weights and optimizer as it is written.
    """

    parameters: int
    gradient_bytes: int
    optimizer_bytes: int
    checkpoint_bytes: int


def measure_model(cfg: Any) -> ModelSize:
    """Build a config's model and optimizer, take a step without data, and weigh them."""
    import torch
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from attnseg.registry import MODELS

    init_default_scope(cfg.get("default_scope", "mmdet"))
    model = MODELS.build(cfg.model)
    optim = Runner.build_optim_wrapper(SimpleNamespace(model=model), cfg.optim_wrapper)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trained:
        weight.grad = torch.zeros_like(weight)
    optim.optimizer.step()
    states = optim.optimizer.state.values()
    state_bytes = sum(
        value.nbytes for state in states for value in state.values() if hasattr(value, "nbytes")
    )
    file = io.BytesIO()
    torch.save({"state_dict": model.state_dict(), "optimizer": optim.state_dict()}, file)
    return ModelSize(
        sum(weight.numel() for weight in model.parameters()),
        sum(weight.nbytes for weight in trained),
        state_bytes,
        file.tell(),
    )


def plan(
    cfg: Any, size: ModelSize, images: int, gpus: int, cluster: Cluster
) -> dict[str, float | int | None]:
    """Figures of a run on so many GPUs; each follows from the arguments alone.

    Args:
        cfg: Names the batch of a GPU, accumulated steps, and the batch that the rate is for.
        size: See :func:`measure_model`.
        images: Of the training set.
        gpus: One process each.
        cluster: What is assumed.

    Returns:
        Batch and learning rate factors, loading, communication (a ring moves 2 (N - 1) / N of
        the gradients), and checkpoints: the interval sqrt(2 C M) of Young (1974) and Daly (2006)
        for the time C to write one and M between failures of any node, and the share of time
        that writing and repeated work cost at it.
    """
    batch = int(cfg.train_dataloader.batch_size)
    steps = int((cfg.get("scale") or {}).get("accumulate", 1))
    update, base = batch * steps * gpus, base_batch(cfg)
    factor = update / base if base else None
    step_seconds = batch / cluster.images_per_second
    ring = 2 * (gpus - 1) / gpus * size.gradient_bytes
    held = 2 * size.gradient_bytes + size.optimizer_bytes
    nodes = math.ceil(gpus / cluster.gpus_per_node)
    write = size.checkpoint_bytes / cluster.disk
    between = cluster.node_hours * 3600 / nodes
    interval = math.sqrt(2 * write * between)
    return {
        "gpus": gpus,
        "nodes": nodes,
        "images an update": update,
        "rate factor, linear": factor,
        "rate factor, sqrt": math.sqrt(factor) if factor else None,
        "updates an epoch": math.ceil(images / update),
        "images/s needed": cluster.images_per_second * gpus,
        "workers a GPU": math.ceil(cluster.images_per_second / cluster.worker_images_per_second),
        "files opened a second": 2 * cluster.images_per_second * gpus,
        "all-reduce MB an update": ring / 1e6,
        "all-reduce ms": ring / cluster.network * 1e3,
        "step ms": step_seconds * 1e3,
        "epoch s": images / (cluster.images_per_second * gpus),
        "weights, gradients, states MB": held / 1e6,
        "the same by FSDP, MB a GPU": held / gpus / 1e6,
        "checkpoint MB": size.checkpoint_bytes / 1e6,
        "checkpoint write s": write,
        "checkpoint every s": interval,
        "time lost %": 100 * (write / interval + interval / 2 / between),
    }


@contextmanager
def _rank(rank: int, world: int) -> Iterator[None]:
    with mock.patch("mmengine.dataset.sampler.get_dist_info", return_value=(rank, world)):
        yield


def simulate_samplers(
    images: int, world: int, kinds: Sequence[str] = ("train", "infinite", "test")
) -> dict[str, Mapping[str, int]]:
    """Ask mmengine's samplers, for each of many processes, which images an epoch gives it.

    Args:
        images: Of the data set.
        world: Processes.
        kinds: ``train`` shuffles and rounds up, ``infinite`` is one length of the data, ``test``
            neither shuffles nor rounds.

    Returns:
        For each kind: images never seen, images seen twice, and the smallest and largest share.
    """
    from mmengine.dataset import DefaultSampler, InfiniteSampler

    data = range(images)
    found = {}
    for kind in kinds:
        counts, shares = [0] * images, []
        for rank in range(world):
            with _rank(rank, world):
                if kind == "infinite":
                    sampler = InfiniteSampler(data, shuffle=True, seed=0)
                    own = list(islice(sampler, len(range(rank, images, world))))
                else:
                    train = kind == "train"
                    own = list(DefaultSampler(data, shuffle=train, seed=0, round_up=train))
            shares.append(len(own))
            for index in own:
                counts[index] += 1
        found[kind] = {
            "never": counts.count(0),
            "twice or more": sum(count > 1 for count in counts),
            "least": min(shares),
            "most": max(shares),
        }
    return found


def check_gpus(gpus: Sequence[int]) -> None:
    """Refuse numbers below one.

    Raises:
        UsageError: Names the number.
    """
    for number in gpus:
        if number < 1:
            raise UsageError(f"--gpus {number}: expected at least 1.")
