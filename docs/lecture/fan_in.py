"""What a Linear layer does to the spread of its inputs, before and after the division by √fan_in.

    python docs/lecture/fan_in.py

x and w are N(0, 1). The last column is the project's own layer.
"""

import torch

from lit_makemore.network.layers import Linear

g = torch.Generator().manual_seed(2147483647)
print("fan_in  std of x  std of x @ w  with w / √fan_in  our Linear")
for fan_in in (10, 30, 100, 1000):
    x = torch.randn(1000, fan_in, generator=g)
    w = torch.randn(fan_in, 200, generator=g)
    ours = Linear(fan_in, 200, bias=False, generator=g)
    spreads = [x, x @ w, x @ (w / fan_in**0.5), ours(x)]
    std, raw, divided, linear = (t.std().item() for t in spreads)
    print(f"{fan_in:>6}{std:>10.2f}{raw:>14.2f}{divided:>18.2f}{linear:>12.2f}")
