# The paper cuts images to at most 100 cells: tools/dataset_converters/crop_dense.py.
_base_ = [
    "./base_swin-b.py",
    "../_base_/datasets/neurips_cellseg_cells.py",
    "../_base_/schedules/iaunet_adamw_1e-4.py",
]
model = dict(head=dict(num_classes=_base_.num_classes))
