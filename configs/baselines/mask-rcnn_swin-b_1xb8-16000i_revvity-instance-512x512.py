_base_ = [
    "./base_mask-rcnn_swin-b.py",
    "../_base_/datasets/revvity_cells.py",
    "../_base_/schedules/iaunet_adamw_1e-4.py",
]
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
