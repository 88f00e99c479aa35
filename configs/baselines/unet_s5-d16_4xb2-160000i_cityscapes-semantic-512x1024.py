_base_ = [
    "./base_unet.py",
    "../_base_/datasets/sizes/cityscapes_semantic_512x1024.py",
    "../_base_/schedules/adamw_6e-5_160000i.py",
]
model = dict(
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
train_dataloader = dict(batch_size=2)
