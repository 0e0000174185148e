"""Checkpoints: `load` gives a network ready to run, `save_checkpoint` writes a file that needs no more words.

reading.py      bytes to plain objects, refusing what would run code
safetensors.py  the same for .safetensors
programs.py     the same for what torch.export saved
state.py        finds the state dict and stored masks, and fits them to a network
pretrained.py   folders of Hugging Face, and heads that they do not have yet
masks.py        the masks of another run
loading.py, saving.py
"""

from __future__ import annotations

from .loading import Loaded, load
from .masks import load_masks
from .saving import save_checkpoint

__all__ = ["Loaded", "load", "load_masks", "save_checkpoint"]
