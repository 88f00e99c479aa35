_base_ = [
    "./base.py",
    "../_base_/datasets/usiigaci_cells.py",
    "../_base_/schedules/iaunet_adamw_1e-4.py",
]
num_queries = 200
model = dict(
    head=dict(num_classes=_base_.num_classes, num_queries=num_queries),
    test_cfg=dict(max_per_img=num_queries),
)
