import torch

from attnseg.maskattn_unet import targets


def test_smaller_masks_lie_above_larger_ones() -> None:
    masks = torch.zeros(3, 6, 6, dtype=torch.bool)
    masks[1, :4, :4] = True
    masks[0, 2:, 2:] = True
    masks[2, 3, 3] = True
    found = targets.instance_map(masks)
    assert found[3, 3] == 2
    assert found[0, 0] == 1
    assert found[5, 5] == 0
    assert found[5, 0] == -1


def test_no_mask_gives_an_empty_map() -> None:
    found = targets.instance_map(torch.zeros(0, 3, 5, dtype=torch.bool))
    assert found.shape == (3, 5)
    assert (found == -1).all()
    assert (targets.semantic_map(found, torch.zeros(0, dtype=torch.int64), 7) == 7).all()


def test_semantic_map_takes_the_label_of_each_instance() -> None:
    instances = torch.tensor([[0, 1], [-1, 1]])
    found = targets.semantic_map(instances, torch.tensor([4, 2]), background=9)
    assert found.tolist() == [[4, 2], [9, 2]]


def test_padding_is_ignored_and_the_input_kept() -> None:
    target = torch.zeros(4, 5, dtype=torch.int64)
    found = targets.ignore_outside(target, (3, 2), 255)
    assert (found[:3, :2] == 0).all()
    assert (found[3:] == 255).all() and (found[:, 2:] == 255).all()
    assert (target == 0).all()
