"""Data-parallel training: what the processes that `torchrun` starts do together.

    torchrun --nproc-per-node 2 -m longtail train …

All of them read the same inputs, so these lie where every machine sees them; the first process alone writes.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from longtail.errors import DataError
from longtail.world import World

T = TypeVar("T")
Run = Callable[..., dict[str, float]]
# The first process alone clusters and searches before a training, and embeds the whole data set after it; the others
# wait, by torch's default 10 minutes on GPUs.
PATIENCE = timedelta(days=1)


def parallel(run: Run) -> Run:
    """Let a stage, already decorated with `@stage`, run as several processes.

    The first process runs the stage, and reports how many they are: mini-batches grow with them. Every other one runs
    its bare body, which must train with the first and write nothing; it reports {}, and ends when the first has written
    everything, or fails when that one fails.
    """
    body = inspect.unwrap(run)

    @functools.wraps(run)
    def wrapper(*args: Path, params: Any, **kwargs: Path) -> dict[str, float]:
        world = World.from_environment()
        with process_group(world):
            if world.first:
                report = run(*args, params=params, **kwargs)
                return report if world.size == 1 else report | {"processes": float(world.size)}
            body(*args, params=params, **kwargs)
            return {}

    return wrapper


@contextmanager
def process_group(world: World) -> Iterator[None]:
    """Connect the processes, on the GPU of each if there is one, and leave together. Alone, there is no group.

    An error skips the leaving: the process then ends, and the others notice, here or in the next exchange.
    """
    if world.size == 1:
        yield
        return
    _take_gpu(world)
    try:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    except ValueError as error:
        raise DataError(
            f"the {world.size} processes cannot be connected ({error}); start the step with torchrun"
        ) from error
    leaving = dist.new_group(backend="gloo", timeout=PATIENCE)
    yield
    dist.barrier(leaving)
    dist.destroy_process_group()


def _take_gpu(world: World) -> None:
    if not torch.cuda.is_available():
        return
    if world.local_rank >= torch.cuda.device_count():
        raise DataError(f"process {world.local_rank} has no GPU: this machine has {torch.cuda.device_count()}")
    torch.cuda.set_device(world.local_rank)


def from_first(world: World, value: Callable[[], T]) -> T:
    """What `value` returns in the first process, in all of them; the others do not call it."""
    if world.size == 1:
        return value()
    box = [value() if world.first else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]  # type: ignore[return-value]


def total(world: World, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each scalar summed over the processes, detached."""
    values = torch.stack([value.detach().float() for value in scalars.values()])
    if world.size > 1:
        dist.all_reduce(values)
    return dict(zip(scalars, values, strict=True))


def as_first(world: World, module: nn.Module) -> None:
    """Give the module the parameters and buffers that it has in the first process, in all of them."""
    for values in (*module.parameters(), *module.buffers()) if world.size > 1 else ():
        dist.broadcast(values.detach(), src=0)


def joined(world: World, rows: Tensor, count: int) -> Tensor:
    """All of `count` rows, of which each process has its share, in all of them."""
    if world.size == 1:
        return rows
    every = rows.new_empty((count, *rows.shape[1:]))
    every[world.share(count)] = rows
    for rank in range(world.size):
        dist.broadcast(every[replace(world, rank=rank).share(count)], src=rank)
    return every


def synchronise_batch_norm(world: World, network: nn.Module) -> None:
    """Let batch normalisation take its statistics over all processes, where torch can: on GPUs."""
    if world.size > 1 and torch.cuda.is_available():
        # timm's normalisation holds the activation behind it, which torch's conversion would lose.
        from timm import layers

        layers.convert_sync_batchnorm(network)  # type: ignore[attr-defined, no-untyped-call]


class _WithUnused(nn.Module):
    """The module and one parameter that it does not use."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.unused = nn.Parameter(torch.zeros((), device=next(module.parameters()).device))

    def forward(self, *inputs: Any) -> Any:
        return self.module(*inputs)


def data_parallel(world: World, module: nn.Module) -> nn.Module:
    """The module, its parameters made those of the first process, its gradients averaged over the processes."""
    if world.size == 1:
        return module
    # A method need not use every parameter (LMLE has no use for the classifiers), so DDP has to look for unused ones.
    # It then also keeps its buckets as they are. Otherwise it rebuilds them after its first step, and a resumed
    # training would add up in another order than one that was not killed. It warns if it finds none: give it one.
    # The first process's buffers (running statistics) are the ones that are kept, so they are not exchanged.
    return DistributedDataParallel(_WithUnused(module), find_unused_parameters=True, forward_sync_buffers=False)
