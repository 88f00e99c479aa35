# Cityscapes: 19 classes in the order of the trainIds (labelTrainIds PNGs, which
# tools/dataset_converters/cityscapes.py makes where they are missing).
_base_ = "./tasks/semantic.py"

data_root = "data/cityscapes/"
num_classes = 19
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        metainfo_of="CityscapesDataset",
        img_suffix="_leftImg8bit.png",
        seg_map_suffix="_gtFine_labelTrainIds.png",
        data_prefix=dict(img_path="leftImg8bit/train/", seg_map_path="gtFine/train/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo_of="CityscapesDataset",
        img_suffix="_leftImg8bit.png",
        seg_map_suffix="_gtFine_labelTrainIds.png",
        data_prefix=dict(img_path="leftImg8bit/val/", seg_map_path="gtFine/val/"),
    )
)
test_dataloader = val_dataloader
