"""torchvision's network of the given name with 10 classes from seed 7: state, logits, gradients, statistics; prints JSON."""
import json
import sys

import torch
import torchvision

torch.manual_seed(7)
net = getattr(torchvision.models, sys.argv[1])(num_classes=10)


def digest(tensor):
    tensor = tensor.detach().double()
    return [tensor.sum().item(), tensor.abs().sum().item()]


images = (torch.arange(2 * 3 * 64 * 64, dtype=torch.float64) / 10).sin().float().view(2, 3, 64, 64)
out = {"state": [{"name": n, "shape": list(t.shape), "digest": digest(t)} for n, t in net.state_dict().items()]}
net.eval()
with torch.no_grad():
    out["eval_logits"] = net(images).flatten().tolist()
net.train()
logits = net(images)
out["train_logits"] = logits.flatten().tolist()
torch.nn.functional.cross_entropy(logits, torch.tensor([3, 8])).backward()
named = dict(net.named_parameters())
out["gradients"] = {n: digest(named[n].grad)[1] for n in ("conv1.weight", "layer2.0.conv1.weight", "fc.weight", "fc.bias")}
out["buffers"] = {n: digest(t)[0] for n, t in net.state_dict().items() if n.startswith("bn1.")}
print(json.dumps(out))
