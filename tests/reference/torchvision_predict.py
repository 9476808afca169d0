"""torchvision's resnet18 with the weights of our checkpoint, on one image resized to 16 x 16; prints JSON."""
import json
import sys

import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional as F

checkpoint = torch.load(sys.argv[1], weights_only=True)
net = torchvision.models.resnet18(num_classes=len(checkpoint["classes"]))
net.load_state_dict(checkpoint["model_state_dict"], strict=True)
net.eval()
image = F.to_tensor(F.resize(Image.open(sys.argv[2]).convert("RGB"), [16, 16]))
with torch.no_grad():
    probabilities = net(image[None]).softmax(1)[0]
best = probabilities.argmax().item()
print(json.dumps({"class": checkpoint["classes"][best], "probability": probabilities[best].item()}))
