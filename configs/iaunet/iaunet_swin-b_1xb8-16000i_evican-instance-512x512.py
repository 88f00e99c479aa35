_base_ = [
    "./base_swin-b.py",
    "../_base_/datasets/evican_cells.py",
    "../_base_/schedules/iaunet_adamw_1e-4.py",
]
model = dict(head=dict(num_classes=_base_.num_classes))
