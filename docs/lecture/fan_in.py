"""What a Linear layer does to the spread of its inputs, before and after the division by √fan_in.

    python docs/lecture/fan_in.py
"""

import torch

from lit_makemore.network.layers import Linear

g = torch.Generator().manual_seed(2147483647)
print(f"{'fan_in':>6}{'std of x':>10}{'std of x @ w':>14}{'with w / √fan_in':>18}{'our Linear':>12}")
for fan_in in (10, 30, 100, 1000):
    x = torch.randn(1000, fan_in, generator=g)
    w = torch.randn(fan_in, 200, generator=g)
    ours = Linear(fan_in, 200, bias=False, generator=g)
    spreads = [x, x @ w, x @ (w / fan_in**0.5), ours(x)]
    std, raw, divided, linear = (t.std().item() for t in spreads)
    print(f"{fan_in:>6}{std:>10.2f}{raw:>14.2f}{divided:>18.2f}{linear:>12.2f}")
