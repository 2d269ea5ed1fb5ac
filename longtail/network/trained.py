"""What a training changes of a network, and how fast: blocks that stay still, modes, shares of the learning rate."""

from torch import nn

from longtail.errors import DataError
from longtail.network.imported import blocks
from longtail.network.network import Network


def keep_still(network: Network, trained_blocks: int | None) -> None:
    """Train of the backbone its last so many blocks alone; None: all of it. Statistics below stay as the weights do.

    Raises DataError if it has fewer.
    """
    if trained_blocks is None:
        return
    of_blocks = blocks(network.backbone)
    if trained_blocks > len(of_blocks):
        raise DataError(
            f"the backbone has {len(of_blocks)} blocks; set trained_blocks to at most that, or leave it out"
        )
    still = {name for names in of_blocks[: len(of_blocks) - trained_blocks] for name in names}
    for name, parameter in network.backbone.named_parameters():
        parameter.requires_grad_(name not in still)


def renew(network: Network, fresh: Network) -> None:
    """Give a network the weights of another that is built alike, save where it is kept still."""
    still = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    # Statistics stay with the weights of their module.
    kept = {name.rpartition(".")[0] for name in still}
    state = {name: value for name, value in fresh.state_dict().items() if name.rpartition(".")[0] not in kept}
    network.load_state_dict(network.state_dict() | state)


def set_modes(network: Network, *, freeze_batch_norm: bool) -> None:
    """Training mode, but for what is still, which keeps its statistics and draws nothing. With `freeze_batch_norm`
    every batch normalisation keeps them.
    """
    network.train()
    _stop_still(network)
    for module in network.modules() if freeze_batch_norm else ():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _stop_still(module: nn.Module) -> None:
    """Evaluation mode for every module that has parameters, and trains none of them."""
    parameters = [*module.parameters()]
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
    else:
        for child in module.children():
            _stop_still(child)


def layer_shares(backbone: nn.Module, layer_decay: float) -> dict[nn.Parameter, float]:
    """What share of the learning rate each parameter of a backbone has: `layer_decay` times less with every block from
    the last towards the image.
    """
    own, of_blocks = dict(backbone.named_parameters()), blocks(backbone)
    return {
        own[name]: layer_decay ** (len(of_blocks) - depth)
        for depth, names in enumerate(of_blocks)
        for name in names
        if name in own
    }
