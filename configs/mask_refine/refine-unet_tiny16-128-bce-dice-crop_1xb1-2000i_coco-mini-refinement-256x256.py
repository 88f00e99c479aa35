_base_ = [
    "./base.py",
    "../_base_/datasets/sizes/coco_mini_refinement_256x256.py",
    "../_base_/schedules/adam_1e-3_2000i.py",
]
model = dict(network=dict(widths=(16, 32, 64, 128)))
