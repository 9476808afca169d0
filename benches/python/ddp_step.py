"""The median milliseconds of a training step on random images in one of several processes on CPUs, with
DistributedDataParallel over gloo, and peak memory: ARCHITECTURE BATCH SIZE STEPS [--after] [--bf16_gradients]
[--own_buffers]. torchrun starts them.

As crates/ml-core/examples/bench_ddp.rs, which explains what is printed. --own_buffers does without DDP's broadcast of
batch norms' statistics before each step, which it does by itself. Gradients are views of DDP's buckets, and SGD is the
foreach kind; PyTorch takes neither by itself on CPUs.
"""

import json
import statistics
import sys
import time

import torch
import torch.distributed
import torchvision
from step import peak_mb
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel


def loopback_bytes():
    try:
        with open("/proc/self/net/dev") as counters:
            return next(int(line.split(":")[1].split()[8]) for line in counters if line.strip().startswith("lo:"))
    except (OSError, StopIteration):
        return None


def average(parameters, dtype):
    """Makes all gradients means over the processes, in one tensor."""
    grads = [parameter.grad for parameter in parameters]
    flat = torch.cat([grad.flatten() for grad in grads])
    flat.div_(torch.distributed.get_world_size())
    flat = flat.to(dtype)
    torch.distributed.all_reduce(flat)
    for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(mean.view_as(grad))


def main():
    flags = {arg for arg in sys.argv[1:] if arg.startswith("--")}
    architecture, *numbers = (arg for arg in sys.argv[1:] if not arg.startswith("--"))
    batch, size, steps = map(int, numbers)
    torch.manual_seed(0)
    torch.distributed.init_process_group("gloo")
    is_after, is_bf16 = "--after" in flags, "--bf16_gradients" in flags
    network = torchvision.models.get_model(architecture, num_classes=10)
    parameters = list(network.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, foreach=True)
    if not is_after:
        network = DistributedDataParallel(
            network, gradient_as_bucket_view=True, broadcast_buffers="--own_buffers" not in flags
        )
        if is_bf16:
            network.register_comm_hook(None, bf16_compress_hook)
    images = torch.randn(batch, 3, size, size)
    targets = torch.randint(10, (batch,))

    def step():
        loss = torch.nn.functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        if is_after:
            average(parameters, torch.bfloat16 if is_bf16 else torch.float32)
        optimizer.step()
        loss.item()

    network.train()
    for _ in range(2):
        step()
    torch.distributed.barrier()
    before = loopback_bytes()
    milliseconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    torch.distributed.barrier()
    after = loopback_bytes()
    sent = None if before is None or after is None else after - before
    found = {
        "architecture": architecture,
        "ms_median": statistics.median(milliseconds),
        "peak_mb": peak_mb(),
        "bytes": sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        "wire_bytes": None if sent is None else sent / (steps * torch.distributed.get_world_size()),
    }
    if torch.distributed.get_rank() == 0:
        print(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
