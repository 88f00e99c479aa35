# Panoptic tables of MaskAttn-UNet on COCO; small: nuclei, nine of the validation images.
base = "maskattn_unet/maskattn-unet_paper_2xb7-1000e_coco-panoptic-128x128"
seeds = [0, 1, 2]
columns = ["semantic/mIoU", "panoptic/PQ", "coco/AP"]
small = dict(
    base="maskattn_unet/maskattn-unet_small_1xb8-400i_dsb2018-panoptic-128x128",
    options={"train_dataloader.batch_size": 4, "val_dataloader.dataset.fraction": 0.15},
    seeds=[0, 1],
    max_iters=30,
)
