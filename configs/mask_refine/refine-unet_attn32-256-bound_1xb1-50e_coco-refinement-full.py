_base_ = [
    "./base_bound.py",
    "../_base_/datasets/coco_refinement.py",
    "../_base_/schedules/adam_1e-3_50e.py",
]
model = dict(network=dict(widths=(32, 64, 128, 256), attention_gates=True))
