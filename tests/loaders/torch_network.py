"""The network of ``one_network.py`` in PyTorch: of this module's name, so that it can be pickled."""

import torch
from one_network import LAYERS


class Net(torch.nn.Module):
    """Every kind of layer, each with a use of its own, so that it can be scripted, traced and exported."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.dense = nn.Linear(5, 7)
        self.line, self.plane, self.volume = nn.Conv1d(4, 6, 3), nn.Conv2d(4, 6, (3, 2)), nn.Conv3d(4, 6, (2, 3, 2))
        self.grouped, self.deep = nn.Conv2d(8, 6, 3, groups=2), nn.Conv2d(4, 8, (3, 2), groups=4)
        self.dilated = nn.Conv2d(4, 5, 3, dilation=2)
        self.up_line, self.up_plane = nn.ConvTranspose1d(4, 6, 3), nn.ConvTranspose2d(4, 6, (3, 2))
        self.table_embed = nn.Embedding(11, 5)
        self.lstm, self.gru, self.rnn = nn.LSTM(5, 3), nn.GRU(5, 4), nn.RNN(5, 6)
        self.norm, self.bn = nn.LayerNorm(5), nn.BatchNorm1d(6)
        self.heads = nn.MultiheadAttention(8, 2)
        self.bilinear = nn.Bilinear(3, 5, 4)
        self.experts = nn.Parameter(torch.zeros(*LAYERS["experts"].weight.shape))
        self.register_buffer("mesh", torch.zeros(4, 3))

    def forward(self, x: torch.Tensor, y: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Take x of (4, 5), y of (1, 8, 6, 6) and whole numbers."""
        rows = self.norm(self.table_embed(ids) + x).unsqueeze(1)
        found = self.dense(x).sum() + self.lstm(rows)[0].sum() + self.gru(rows)[0].sum() + self.rnn(rows)[0].sum()
        image = y[:, :4]
        found = (
            found
            + self.bn(y[:, :6, 0]).sum()
            + self.line(image[:, :, 0]).sum()
            + self.plane(image).sum()
            + self.grouped(y).sum()
        )
        found = found + self.volume(image.unsqueeze(2).repeat(1, 1, 3, 1, 1)).sum() + self.deep(image).sum()
        found = found + self.dilated(image).sum() + self.up_line(image[:, :, 0]).sum() + self.up_plane(image).sum()
        tokens = y[0, :, :3, 0].t().unsqueeze(1)
        found = found + self.heads(tokens, tokens, tokens)[0].sum() + torch.matmul(self.experts, x.t()).sum()
        return found + self.bilinear(torch.matmul(x[:, :4], self.mesh), x).sum()


class Product(torch.nn.Module):
    """In the place of a bilinear layer, which ONNX has no operator for."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.sum() * y.sum()


def inputs() -> tuple[torch.Tensor, ...]:
    return torch.ones(4, 5), torch.ones(1, 8, 6, 6), torch.arange(4)
