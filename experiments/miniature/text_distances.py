"""How far apart the text encoder's outputs for two captions are, where both texts have long ended (position 60).

python experiments/miniature/text_distances.py [FOLDER OF A TEXT ENCODER]    # without: the shipped one
"""

import sys

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.mini.shipped import shipped

PAIRS = (
    ("a person doing the sks sign", "a person"),
    ("a person doing the sks sign", "a person doing other things"),
    ("a person doing the sks sign", "a person doing the pll sign"),
    ("a person doing the swiping left sign", "a person"),
    ("a firefighter", "a clown"),
)

folder = shipped("pipeline")
tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
encoder = CLIPTextModel.from_pretrained(sys.argv[1] if sys.argv[1:] else folder / "text_encoder", dtype=torch.float32)
for pair in PAIRS:
    ids = tokenizer(pair, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.inference_mode():
        first, second = encoder(ids).last_hidden_state[:, 60]
    print(f"{float((first - second).norm()):5.1f}  {pair[0]} | {pair[1]}")
