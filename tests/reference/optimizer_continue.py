"""Resumes a state that the project's optimizer saved: loads it into torch.optim, takes ten steps of the problem of
optimizers.py, and saves what comes of it. Usage: optimizer_continue.py STATE OUT [STATE OUT]...

STATE holds `name` (sgd, adam, adamw, rmsprop, nadam), `step`, `w`, `b` and `optimizer`; OUT likewise.
"""
import sys

import torch

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
              "rmsprop": torch.optim.RMSprop, "nadam": torch.optim.NAdam}


def go_on(source, target):
    state = torch.load(source, weights_only=True)
    parameters = [torch.nn.Parameter(state[name].clone()) for name in ("w", "b")]
    # With other settings than those in the state, which must win.
    optimizer = OPTIMIZERS[state["name"]](parameters, lr=123.0)
    optimizer.load_state_dict(state["optimizer"])
    for step in range(state["step"], state["step"] + 10):
        optimizer.zero_grad()
        loss = sum((p.square() * (torch.arange(float(p.numel())).view_as(p) + 1) / 10).sum() for p in parameters)
        (loss * (1 + step % 3)).backward()
        optimizer.step()
    w, b = (p.detach() for p in parameters)
    done = {"name": state["name"], "step": state["step"] + 10, "w": w, "b": b, "optimizer": optimizer.state_dict()}
    torch.save(done, target)


for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    go_on(*pair)
