#!/usr/bin/env python3
"""Writes the files of other programs that tests read: weights by PyTorch, photos by Pillow."""
import os

import torch
from PIL import Image


class Code:
    def __reduce__(self):
        return os.system, ("true",)


wide = torch.arange(6, dtype=torch.float32).reshape(2, 3)
torch.save(
    {
        "plain": wide,
        "turned": wide.T,  # A view with other strides.
        "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "bn.num_batches_tracked": torch.tensor(3),
    },
    "state_dict.pt",
)
torch.save({"epoch": 3, "lr": 0.1, "state_dict": {"plain": wide}}, "nested.pt")
torch.save(torch.nn.Linear(2, 2), "module.pt")
torch.save({"plain": wide, "more": Code()}, "code.pt")

photo = Image.new("RGB", (48, 40))
for x in range(48):
    for y in range(40):
        photo.putpixel((x, y), (5 * x, 6 * y, 128))
exif = Image.Exif()
exif[0x112] = 6
photo.save("turned.jpg", quality=95, exif=exif)
photo.save("turned.webp", quality=95, exif=exif.tobytes())
photo.save("turned.png", exif=exif)
