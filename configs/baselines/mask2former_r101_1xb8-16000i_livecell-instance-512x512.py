_base_ = "./mask2former_r50_1xb8-16000i_livecell-instance-512x512.py"
model = dict(backbone=dict(depth=101))
