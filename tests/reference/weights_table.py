"""The weights that torchvision publishes for its classification networks, as the table that is compiled in; prints CSV.

Columns: the network, its enum, the member, whether it is the enum's DEFAULT; the file's name below BASE, the beginning of
its SHA-256 that the name holds, its size in MiB; parameters, GFLOPs, ImageNet accuracy in percent (top 1, top 5); classes
(0: the classifier's weights are of no use); the transform of its evaluation: shorter side, crop, interpolation, mean, std;
the smallest side of an image. Usage: weights_table.py > crates/ml-core/src/weights/published.csv
"""

import torch.hub
from torchvision import models
from torchvision.models import get_model_weights, list_models
from torchvision.transforms._presets import ImageClassification

BASE = "https://download.pytorch.org/models/"
COLUMNS = (
    "architecture,enum,member,default,file,sha256,size_mib,parameters,gflops,acc1,acc5,classes,resize,crop,interpolation,"
    "mean,std,min_size"
)


def row(name, weights):
    transform, meta = weights.transforms(), weights.meta
    assert isinstance(transform, ImageClassification) and transform.antialias, weights
    assert weights.url.startswith(BASE), weights.url
    file = weights.url.removeprefix(BASE)
    (resize,), (crop,) = transform.resize_size, transform.crop_size
    height, width = meta["min_size"]
    assert height == width, weights
    accuracy = meta["_metrics"]["ImageNet-1K"]
    fields = [
        name, type(weights).__name__, weights.name, str(weights is type(weights).DEFAULT).lower(),
        file, torch.hub.HASH_REGEX.search(file).group(1), meta["_file_size"],
        meta["num_params"], meta["_ops"], accuracy["acc@1"], accuracy["acc@5"], len(meta["categories"] or []),
        resize, crop, transform.interpolation.value,
        " ".join(map(repr, map(float, transform.mean))), " ".join(map(repr, map(float, transform.std))), height,
    ]  # fmt: skip
    text = ",".join(map(str, fields))
    assert text.count(",") == COLUMNS.count(","), text
    return text


def main():
    print(COLUMNS)
    for name in list_models(module=models):
        for weights in get_model_weights(name):
            print(row(name, weights))


if __name__ == "__main__":
    main()
