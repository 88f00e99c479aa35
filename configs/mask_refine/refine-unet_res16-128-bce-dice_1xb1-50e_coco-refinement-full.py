_base_ = [
    "./base.py",
    "../_base_/datasets/coco_refinement.py",
    "../_base_/schedules/adam_1e-3_50e.py",
]
model = dict(network=dict(widths=(16, 32, 64, 128), coarse_residual=True))
