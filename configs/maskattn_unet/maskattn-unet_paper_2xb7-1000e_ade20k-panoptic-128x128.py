_base_ = [
    "./base_panoptic.py",
    "../_base_/datasets/ade20k_panoptic.py",
    "../_base_/schedules/adamw_5e-4_1000e.py",
]
model = dict(head=dict(num_things=_base_.num_things, num_stuff=_base_.num_stuff))
train_dataloader = dict(batch_size=7)
