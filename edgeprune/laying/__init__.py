"""What both captures share, without torch: reshapes and permutations followed through a network without becoming nodes.

layout.py      where a value's elements lie in a tensor
trace.py       what a capture keeps while it goes through a network
taking.py      from a layout to a value: the rearrangement that a reader needs
views.py       reshapes, permutations, shuffles
layers.py      ops on [batch, channels, *places], over the last dim, over any dim
arithmetic.py  sums and products, with dims of size 1 stretched
moves.py       parts, gathers, concatenation, padding
sums.py        one number for all elements along some dims
masks.py       comparisons, logic, choices by a mask
scores.py      attention, however it is written
products.py    matrix products: with a weight a linear layer, of two values attention
"""
