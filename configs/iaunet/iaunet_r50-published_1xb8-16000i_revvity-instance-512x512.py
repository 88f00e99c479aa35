# The variant whose parameters the published tables show.
_base_ = [
    "./base.py",
    "../_base_/datasets/revvity_cells.py",
    "../_base_/schedules/iaunet_adamw_1e-4.py",
]
model = dict(head=dict(num_classes=_base_.num_classes, variant="code", pixel_update="instance"))
