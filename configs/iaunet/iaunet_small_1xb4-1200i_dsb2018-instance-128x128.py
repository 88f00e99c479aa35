_base_ = [
    "./base_small.py",
    "../_base_/datasets/dsb2018_cells_windows.py",
    "../_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
model = dict(
    head=dict(num_classes=_base_.num_classes),
    test_cfg=dict(windows=dict(size=_base_.window)),
)
