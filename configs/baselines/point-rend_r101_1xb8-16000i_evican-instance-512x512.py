_base_ = "./point-rend_r50_1xb8-16000i_evican-instance-512x512.py"
model = dict(backbone=dict(depth=101))
