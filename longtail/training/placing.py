"""Where all samples lie by the network as it is, for methods that select by it what the next steps train on."""

import numpy as np
import torch

from longtail.methods.placed import PlacedMethod
from longtail.network.device import device
from longtail.network.embedder import block_size
from longtail.network.network import Network
from longtail.training.distributed import as_first, joined
from longtail.training.inputs import Inputs
from longtail.world import ALONE, World


def place_samples(network: Network, method: PlacedMethod, inputs: Inputs, *, step: int, world: World = ALONE) -> None:
    """Give a method the embeddings of all its samples before step number `step`; the network is left in evaluation
    mode.

    Images are as they are, features those of the plain images. Each process embeds its share, by the first one's
    network: running statistics differ.
    """
    network.eval()
    as_first(world, network)
    samples = method.placed[world.share(len(method.placed))]
    size = block_size(inputs.plain(samples[:1]).shape[1:])
    # Filled block by block: kept by themselves until the end, blocks would cut up the heap.
    filled: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for start in range(0, max(1, len(samples)), size):
            images = torch.from_numpy(np.ascontiguousarray(inputs.plain(samples[start : start + size]))).to(device())
            for task, embeddings in network.embed(inputs.seen(images)).items():
                if task not in filled:
                    filled[task] = embeddings.new_empty(len(samples), embeddings.shape[1])
                filled[task][start : start + len(embeddings)] = embeddings
    found = {task: joined(world, of_task, len(method.placed)) for task, of_task in filled.items()}
    method.place({task: rows.cpu().numpy() for task, rows in found.items()}, network, step=step)
    as_first(world, network)
