"""How bad input becomes one line."""

import pytest
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

from attnseg.apis.command import UsageError, input_errors, run_command, training_errors
from attnseg.datasets.transforms.decode import decode_image
from attnseg.errors import InputError, SampleError


class Broken(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise ValueError("image 'a.png' is damaged")


def test_a_key_error_has_no_quotes_around_its_text() -> None:
    expected = r"^'a.json' has no image id 3 \(ATTNSEG_TRACEBACK=1"
    with pytest.raises(UsageError, match=expected), input_errors(KeyError):
        raise KeyError("'a.json' has no image id 3")


def test_the_error_of_a_data_worker_is_its_text_alone() -> None:
    with pytest.raises(UsageError, match=r"^image 'a.png' is damaged$"), input_errors():
        list(DataLoader(Broken(), num_workers=1))


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), input_errors():
        1 / 0  # noqa: B018


class Damaged(Broken):
    def __getitem__(self, index: int) -> int:
        return len(decode_image(b"no image", "a.png").img)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_in_a_training_is_one_line(workers: int) -> None:
    with pytest.raises(UsageError, match=r"^image 'a.png' cannot be decoded"), training_errors():
        list(DataLoader(Damaged(), num_workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_other_value_errors_in_a_training_keep_their_traceback(workers: int) -> None:
    with pytest.raises(ValueError, match="is damaged"), training_errors():
        list(DataLoader(Broken(), num_workers=workers))


def test_an_input_error_in_a_training_is_one_line() -> None:
    with pytest.raises(UsageError, match="^3 channels$"), training_errors():
        raise InputError("3 channels")


@pytest.mark.parametrize("kind", [InputError, SampleError])
def test_our_errors_of_a_data_worker_are_their_text_alone(kind: type[Exception]) -> None:
    """Tracebacks name the module of a class that is not Python's own."""
    try:
        raise kind("image 'a.png' has\nno mask")
    except kind:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(UsageError, match=r"^image 'a.png' has\nno mask$"), input_errors(kind):
        wrapped.reraise()


def test_a_finished_command_leaves_its_process_group() -> None:
    def train() -> None:
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)

    run_command(train)
    assert not torch.distributed.is_initialized()
